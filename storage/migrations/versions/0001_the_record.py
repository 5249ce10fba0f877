"""the record

Revision: 0001, after . Imports nothing of ours.
"""
import sqlalchemy as sa
from alembic import op

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('agent',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('kind', sa.String(), nullable=False),
    sa.Column('name', sa.String(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_agent'))
    )
    with op.batch_alter_table('agent', schema=None) as batch_op:
        batch_op.create_index('uq_agent_kind_name', ['kind', 'name'], unique=True)

    op.create_table('counter',
    sa.Column('dataset_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('label_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('origin', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('state', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('n', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('dataset_id', 'label_id', 'origin', 'state', name=op.f('pk_counter'))
    )
    op.create_table('dataset',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('uid', sa.LargeBinary(length=16), nullable=False),
    sa.Column('name', sa.String(), nullable=False),
    sa.Column('schema_code', sa.String(), nullable=False),
    sa.Column('created_ms', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_dataset'))
    )
    with op.batch_alter_table('dataset', schema=None) as batch_op:
        batch_op.create_index('uq_dataset_name', ['name'], unique=True)

    op.create_table('label',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('code', sa.String(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_label'))
    )
    with op.batch_alter_table('label', schema=None) as batch_op:
        batch_op.create_index('uq_label_code', ['code'], unique=True)

    op.create_table('meta',
    sa.Column('key', sa.String(), nullable=False),
    sa.Column('value', sa.String(), nullable=False),
    sa.PrimaryKeyConstraint('key', name=op.f('pk_meta'))
    )
    op.create_table('onnx_model',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('name', sa.String(), nullable=False),
    sa.Column('sha256', sa.LargeBinary(length=32), nullable=False),
    sa.Column('card', sa.String(), nullable=False),
    sa.Column('removed_ms', sa.BigInteger(), nullable=True),
    sa.Column('added_ms', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_onnx_model'))
    )
    with op.batch_alter_table('onnx_model', schema=None) as batch_op:
        batch_op.create_index('uq_onnx_model_name', ['name'], unique=True, sqlite_where=sa.text('removed_ms IS NULL'), postgresql_where=sa.text('removed_ms IS NULL'))

    op.create_table('schema_version',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('code', sa.String(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('body', sa.String(), nullable=False),
    sa.Column('blake3', sa.LargeBinary(length=32), nullable=False),
    sa.Column('same_as', sa.BigInteger(), nullable=True),
    sa.Column('born', sa.BigInteger(), nullable=False),
    sa.Column('died', sa.BigInteger(), nullable=True),
    sa.CheckConstraint('died IS NULL OR died > born', name=op.f('ck_schema_version_interval')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_schema_version'))
    )
    with op.batch_alter_table('schema_version', schema=None) as batch_op:
        batch_op.create_index('ix_schema_version_born', ['born'], unique=False)
        batch_op.create_index('ix_schema_version_died', ['died'], unique=False, sqlite_where=sa.text('died IS NOT NULL'), postgresql_where=sa.text('died IS NOT NULL'))
        batch_op.create_index('uq_schema_version_live', ['code'], unique=True, sqlite_where=sa.text('died IS NULL'), postgresql_where=sa.text('died IS NULL'))

    op.create_table('source_root',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('code', sa.String(), nullable=False),
    sa.Column('location', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_source_root'))
    )
    with op.batch_alter_table('source_root', schema=None) as batch_op:
        batch_op.create_index('uq_source_root_code', ['code'], unique=True)

    op.create_table('activity',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('uid', sa.LargeBinary(length=16), nullable=False),
    sa.Column('kind', sa.String(), nullable=False),
    sa.Column('agent_id', sa.BigInteger(), nullable=False),
    sa.Column('model_digest', sa.LargeBinary(length=32), nullable=True),
    sa.Column('params', sa.String(), nullable=False),
    sa.Column('started_ms', sa.BigInteger(), nullable=False),
    sa.Column('ended_ms', sa.BigInteger(), nullable=True),
    sa.ForeignKeyConstraint(['agent_id'], ['agent.id'], name=op.f('fk_activity_agent_id_agent')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_activity'))
    )
    with op.batch_alter_table('activity', schema=None) as batch_op:
        batch_op.create_index('ix_activity_open', ['id'], unique=False, sqlite_where=sa.text('ended_ms IS NULL'), postgresql_where=sa.text('ended_ms IS NULL'))
        batch_op.create_index('uq_activity_uid', ['uid'], unique=True)

    op.create_table('asset',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('uid', sa.LargeBinary(length=16), nullable=False),
    sa.Column('kind', sa.Integer(), nullable=False),
    sa.Column('blake3', sa.LargeBinary(length=32), nullable=False),
    sa.Column('sha256', sa.LargeBinary(length=32), nullable=False),
    sa.Column('size_bytes', sa.BigInteger(), nullable=False),
    sa.Column('width_px', sa.Integer(), nullable=True),
    sa.Column('height_px', sa.Integer(), nullable=True),
    sa.Column('orientation', sa.Integer(), nullable=False),
    sa.Column('media_type', sa.String(), nullable=False),
    sa.Column('taken_ms', sa.BigInteger(), nullable=True),
    sa.Column('source_root_id', sa.BigInteger(), nullable=False),
    sa.Column('path', sa.String(), nullable=False),
    sa.Column('path_hash', sa.BigInteger(), nullable=False),
    sa.Column('disk_path', sa.LargeBinary(), nullable=True),
    sa.Column('mtime_ns', sa.BigInteger(), nullable=False),
    sa.Column('activity_id', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['activity_id'], ['activity.id'], name=op.f('fk_asset_activity_id_activity')),
    sa.ForeignKeyConstraint(['source_root_id'], ['source_root.id'], name=op.f('fk_asset_source_root_id_source_root')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_asset'))
    )
    with op.batch_alter_table('asset', schema=None) as batch_op:
        batch_op.create_index('ix_asset_blake3', ['blake3'], unique=False)
        batch_op.create_index('ix_asset_path_hash', ['path_hash'], unique=False)
        batch_op.create_index('uq_asset_uid', ['uid'], unique=True)

    op.create_table('dataset_version',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('uid', sa.LargeBinary(length=16), nullable=False),
    sa.Column('dataset_id', sa.BigInteger(), nullable=False),
    sa.Column('tag', sa.String(), nullable=False),
    sa.Column('rev', sa.BigInteger(), nullable=False),
    sa.Column('schema_version_id', sa.BigInteger(), nullable=False),
    sa.Column('filter', sa.String(), nullable=False),
    sa.Column('activity_id', sa.BigInteger(), nullable=False),
    sa.Column('root', sa.LargeBinary(length=32), nullable=True),
    sa.Column('signature', sa.LargeBinary(length=64), nullable=True),
    sa.Column('at_ms', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['activity_id'], ['activity.id'], name=op.f('fk_dataset_version_activity_id_activity')),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset.id'], name=op.f('fk_dataset_version_dataset_id_dataset')),
    sa.ForeignKeyConstraint(['schema_version_id'], ['schema_version.id'], name=op.f('fk_dataset_version_schema_version_id_schema_version')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_dataset_version'))
    )
    with op.batch_alter_table('dataset_version', schema=None) as batch_op:
        batch_op.create_index('uq_dataset_version_tag', ['dataset_id', 'tag'], unique=True)

    op.create_table('job',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('uid', sa.LargeBinary(length=16), nullable=False),
    sa.Column('kind', sa.String(), nullable=False),
    sa.Column('activity_id', sa.BigInteger(), nullable=False),
    sa.Column('dataset_id', sa.BigInteger(), nullable=True),
    sa.Column('params', sa.String(), nullable=False),
    sa.Column('step', sa.BigInteger(), nullable=True),
    sa.Column('done', sa.BigInteger(), nullable=False),
    sa.Column('total', sa.BigInteger(), nullable=True),
    sa.Column('started_ms', sa.BigInteger(), nullable=False),
    sa.Column('ended_ms', sa.BigInteger(), nullable=True),
    sa.Column('outcome', sa.String(), nullable=True),
    sa.ForeignKeyConstraint(['activity_id'], ['activity.id'], name=op.f('fk_job_activity_id_activity')),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset.id'], name=op.f('fk_job_dataset_id_dataset')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_job'))
    )
    with op.batch_alter_table('job', schema=None) as batch_op:
        batch_op.create_index('ix_job_open', ['id'], unique=False, sqlite_where=sa.text('ended_ms IS NULL'), postgresql_where=sa.text('ended_ms IS NULL'))
        batch_op.create_index('uq_job_uid', ['uid'], unique=True)

    op.create_table('link',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('activity_id', sa.BigInteger(), nullable=False),
    sa.Column('role', sa.String(), nullable=False),
    sa.Column('entity', sa.String(), nullable=False),
    sa.Column('ref', sa.String(), nullable=False),
    sa.ForeignKeyConstraint(['activity_id'], ['activity.id'], name=op.f('fk_link_activity_id_activity')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_link'))
    )
    with op.batch_alter_table('link', schema=None) as batch_op:
        batch_op.create_index('ix_link_activity_id', ['activity_id'], unique=False)
        batch_op.create_index('ix_link_entity_ref', ['entity', 'ref'], unique=False)

    op.create_table('annotation',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('uid', sa.LargeBinary(length=16), nullable=False),
    sa.Column('asset_id', sa.BigInteger(), nullable=False),
    sa.Column('label_id', sa.BigInteger(), nullable=False),
    sa.Column('kind', sa.Integer(), nullable=False),
    sa.Column('x0', sa.BigInteger(), nullable=True),
    sa.Column('y0', sa.BigInteger(), nullable=True),
    sa.Column('x1', sa.BigInteger(), nullable=True),
    sa.Column('y1', sa.BigInteger(), nullable=True),
    sa.Column('geometry', sa.String(), nullable=True),
    sa.Column('attributes', sa.String(), nullable=True),
    sa.Column('score_micro', sa.Integer(), nullable=True),
    sa.Column('origin', sa.Integer(), nullable=False),
    sa.Column('activity_id', sa.BigInteger(), nullable=False),
    sa.Column('from_id', sa.BigInteger(), nullable=True),
    sa.Column('same_as', sa.BigInteger(), nullable=True),
    sa.Column('born', sa.BigInteger(), nullable=False),
    sa.Column('died', sa.BigInteger(), nullable=True),
    sa.CheckConstraint('died IS NULL OR died > born', name=op.f('ck_annotation_interval')),
    sa.ForeignKeyConstraint(['activity_id'], ['activity.id'], name=op.f('fk_annotation_activity_id_activity')),
    sa.ForeignKeyConstraint(['asset_id'], ['asset.id'], name=op.f('fk_annotation_asset_id_asset')),
    sa.ForeignKeyConstraint(['label_id'], ['label.id'], name=op.f('fk_annotation_label_id_label')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_annotation'))
    )
    with op.batch_alter_table('annotation', schema=None) as batch_op:
        batch_op.create_index('ix_annotation_asset_id_died', ['asset_id', 'died'], unique=False)
        batch_op.create_index('ix_annotation_born', ['born'], unique=False)
        batch_op.create_index('ix_annotation_died', ['died'], unique=False, sqlite_where=sa.text('died IS NOT NULL'), postgresql_where=sa.text('died IS NOT NULL'))
        batch_op.create_index('ix_annotation_label', ['label_id', 'asset_id'], unique=False, sqlite_where=sa.text('died IS NULL'), postgresql_where=sa.text('died IS NULL'))
        batch_op.create_index('uq_annotation_live', ['uid'], unique=True, sqlite_where=sa.text('died IS NULL'), postgresql_where=sa.text('died IS NULL'))

    op.create_table('change',
    sa.Column('rev', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('step', sa.BigInteger(), nullable=False),
    sa.Column('op', sa.Integer(), nullable=False),
    sa.Column('inverts', sa.BigInteger(), nullable=True),
    sa.Column('verb', sa.String(), nullable=False),
    sa.Column('activity_id', sa.BigInteger(), nullable=False),
    sa.Column('agent_id', sa.BigInteger(), nullable=False),
    sa.Column('dataset_id', sa.BigInteger(), nullable=True),
    sa.Column('asset_id', sa.BigInteger(), nullable=True),
    sa.Column('at_ms', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['activity_id'], ['activity.id'], name=op.f('fk_change_activity_id_activity')),
    sa.ForeignKeyConstraint(['agent_id'], ['agent.id'], name=op.f('fk_change_agent_id_agent')),
    sa.ForeignKeyConstraint(['asset_id'], ['asset.id'], name=op.f('fk_change_asset_id_asset')),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset.id'], name=op.f('fk_change_dataset_id_dataset')),
    sa.PrimaryKeyConstraint('rev', name=op.f('pk_change'))
    )
    with op.batch_alter_table('change', schema=None) as batch_op:
        batch_op.create_index('ix_change_activity', ['activity_id'], unique=False)
        batch_op.create_index('ix_change_asset', ['asset_id', 'rev'], unique=False, sqlite_where=sa.text('asset_id IS NOT NULL'), postgresql_where=sa.text('asset_id IS NOT NULL'))
        batch_op.create_index('ix_change_inverts', ['inverts'], unique=False, sqlite_where=sa.text('inverts IS NOT NULL'), postgresql_where=sa.text('inverts IS NOT NULL'))
        batch_op.create_index('ix_change_step', ['step'], unique=False, sqlite_where=sa.text('step <> rev'), postgresql_where=sa.text('step <> rev'))

    op.create_table('item',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('dataset_id', sa.BigInteger(), nullable=False),
    sa.Column('asset_id', sa.BigInteger(), nullable=False),
    sa.Column('split', sa.Integer(), nullable=False),
    sa.Column('review', sa.Integer(), nullable=False),
    sa.Column('state', sa.Integer(), nullable=False),
    sa.Column('n_truth', sa.Integer(), nullable=False),
    sa.Column('n_pred', sa.Integer(), nullable=False),
    sa.Column('same_as', sa.BigInteger(), nullable=True),
    sa.Column('born', sa.BigInteger(), nullable=False),
    sa.Column('died', sa.BigInteger(), nullable=True),
    sa.CheckConstraint('died IS NULL OR died > born', name=op.f('ck_item_interval')),
    sa.ForeignKeyConstraint(['asset_id'], ['asset.id'], name=op.f('fk_item_asset_id_asset')),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset.id'], name=op.f('fk_item_dataset_id_dataset')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_item'))
    )
    with op.batch_alter_table('item', schema=None) as batch_op:
        batch_op.create_index('ix_item_asset_id', ['asset_id'], unique=False)
        batch_op.create_index('ix_item_born', ['born'], unique=False)
        batch_op.create_index('ix_item_died', ['died'], unique=False, sqlite_where=sa.text('died IS NOT NULL'), postgresql_where=sa.text('died IS NOT NULL'))
        batch_op.create_index('ix_item_state', ['dataset_id', 'state', 'asset_id'], unique=False, sqlite_where=sa.text('died IS NULL'), postgresql_where=sa.text('died IS NULL'))
        batch_op.create_index('uq_item_live', ['dataset_id', 'asset_id'], unique=True, sqlite_where=sa.text('died IS NULL'), postgresql_where=sa.text('died IS NULL'))

    op.create_table('problem',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('asset_id', sa.BigInteger(), nullable=False),
    sa.Column('activity_id', sa.BigInteger(), nullable=False),
    sa.Column('what', sa.String(), nullable=False),
    sa.Column('at_ms', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['activity_id'], ['activity.id'], name=op.f('fk_problem_activity_id_activity')),
    sa.ForeignKeyConstraint(['asset_id'], ['asset.id'], name=op.f('fk_problem_asset_id_asset')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_problem'))
    )
    with op.batch_alter_table('problem', schema=None) as batch_op:
        batch_op.create_index('uq_problem_asset_what', ['asset_id', 'what'], unique=True)

    op.create_table('seen_file',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('source_root_id', sa.BigInteger(), nullable=False),
    sa.Column('path', sa.String(), nullable=False),
    sa.Column('path_hash', sa.BigInteger(), nullable=False),
    sa.Column('size_bytes', sa.BigInteger(), nullable=False),
    sa.Column('mtime_ns', sa.BigInteger(), nullable=False),
    sa.Column('state', sa.Integer(), nullable=False),
    sa.Column('asset_id', sa.BigInteger(), nullable=True),
    sa.Column('reason', sa.String(), nullable=True),
    sa.Column('activity_id', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['activity_id'], ['activity.id'], name=op.f('fk_seen_file_activity_id_activity')),
    sa.ForeignKeyConstraint(['asset_id'], ['asset.id'], name=op.f('fk_seen_file_asset_id_asset')),
    sa.ForeignKeyConstraint(['source_root_id'], ['source_root.id'], name=op.f('fk_seen_file_source_root_id_source_root')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_seen_file'))
    )
    with op.batch_alter_table('seen_file', schema=None) as batch_op:
        batch_op.create_index('ix_seen_file_path_hash', ['path_hash'], unique=False)
        batch_op.create_index('ix_seen_file_state', ['state', 'id'], unique=False)

    op.create_table('shard',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('job_id', sa.BigInteger(), nullable=False),
    sa.Column('first', sa.BigInteger(), nullable=False),
    sa.Column('last', sa.BigInteger(), nullable=False),
    sa.Column('position', sa.BigInteger(), nullable=False),
    sa.Column('state', sa.Integer(), nullable=False),
    sa.Column('owner', sa.String(), nullable=True),
    sa.Column('until_ms', sa.BigInteger(), nullable=False),
    sa.Column('fence', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['job_id'], ['job.id'], name=op.f('fk_shard_job_id_job')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_shard'))
    )
    with op.batch_alter_table('shard', schema=None) as batch_op:
        batch_op.create_index('ix_shard_job_id', ['job_id', 'id'], unique=False)
        batch_op.create_index('ix_shard_work', ['job_id', 'state', 'id'], unique=False, sqlite_where=sa.text('state < 2'), postgresql_where=sa.text('state < 2'))

    if op.get_bind().dialect.name == 'postgresql':
        # Whoever follows the record asks for xid < pg_snapshot_xmin(pg_current_snapshot()): revisions commit out of order.
        op.execute("ALTER TABLE change ADD COLUMN xid xid8 NOT NULL DEFAULT pg_current_xact_id()")


def downgrade() -> None:
    with op.batch_alter_table('shard', schema=None) as batch_op:
        batch_op.drop_index('ix_shard_work', sqlite_where=sa.text('state < 2'), postgresql_where=sa.text('state < 2'))
        batch_op.drop_index('ix_shard_job_id')

    op.drop_table('shard')
    with op.batch_alter_table('seen_file', schema=None) as batch_op:
        batch_op.drop_index('ix_seen_file_state')
        batch_op.drop_index('ix_seen_file_path_hash')

    op.drop_table('seen_file')
    with op.batch_alter_table('problem', schema=None) as batch_op:
        batch_op.drop_index('uq_problem_asset_what')

    op.drop_table('problem')
    with op.batch_alter_table('item', schema=None) as batch_op:
        batch_op.drop_index('uq_item_live', sqlite_where=sa.text('died IS NULL'), postgresql_where=sa.text('died IS NULL'))
        batch_op.drop_index('ix_item_state', sqlite_where=sa.text('died IS NULL'), postgresql_where=sa.text('died IS NULL'))
        batch_op.drop_index('ix_item_died', sqlite_where=sa.text('died IS NOT NULL'), postgresql_where=sa.text('died IS NOT NULL'))
        batch_op.drop_index('ix_item_born')
        batch_op.drop_index('ix_item_asset_id')

    op.drop_table('item')
    with op.batch_alter_table('change', schema=None) as batch_op:
        batch_op.drop_index('ix_change_step', sqlite_where=sa.text('step <> rev'), postgresql_where=sa.text('step <> rev'))
        batch_op.drop_index('ix_change_inverts', sqlite_where=sa.text('inverts IS NOT NULL'), postgresql_where=sa.text('inverts IS NOT NULL'))
        batch_op.drop_index('ix_change_asset', sqlite_where=sa.text('asset_id IS NOT NULL'), postgresql_where=sa.text('asset_id IS NOT NULL'))
        batch_op.drop_index('ix_change_activity')

    op.drop_table('change')
    with op.batch_alter_table('annotation', schema=None) as batch_op:
        batch_op.drop_index('uq_annotation_live', sqlite_where=sa.text('died IS NULL'), postgresql_where=sa.text('died IS NULL'))
        batch_op.drop_index('ix_annotation_label', sqlite_where=sa.text('died IS NULL'), postgresql_where=sa.text('died IS NULL'))
        batch_op.drop_index('ix_annotation_died', sqlite_where=sa.text('died IS NOT NULL'), postgresql_where=sa.text('died IS NOT NULL'))
        batch_op.drop_index('ix_annotation_born')
        batch_op.drop_index('ix_annotation_asset_id_died')

    op.drop_table('annotation')
    with op.batch_alter_table('link', schema=None) as batch_op:
        batch_op.drop_index('ix_link_entity_ref')
        batch_op.drop_index('ix_link_activity_id')

    op.drop_table('link')
    with op.batch_alter_table('job', schema=None) as batch_op:
        batch_op.drop_index('uq_job_uid')
        batch_op.drop_index('ix_job_open', sqlite_where=sa.text('ended_ms IS NULL'), postgresql_where=sa.text('ended_ms IS NULL'))

    op.drop_table('job')
    with op.batch_alter_table('dataset_version', schema=None) as batch_op:
        batch_op.drop_index('uq_dataset_version_tag')

    op.drop_table('dataset_version')
    with op.batch_alter_table('asset', schema=None) as batch_op:
        batch_op.drop_index('uq_asset_uid')
        batch_op.drop_index('ix_asset_path_hash')
        batch_op.drop_index('ix_asset_blake3')

    op.drop_table('asset')
    with op.batch_alter_table('activity', schema=None) as batch_op:
        batch_op.drop_index('uq_activity_uid')
        batch_op.drop_index('ix_activity_open', sqlite_where=sa.text('ended_ms IS NULL'), postgresql_where=sa.text('ended_ms IS NULL'))

    op.drop_table('activity')
    with op.batch_alter_table('source_root', schema=None) as batch_op:
        batch_op.drop_index('uq_source_root_code')

    op.drop_table('source_root')
    with op.batch_alter_table('schema_version', schema=None) as batch_op:
        batch_op.drop_index('uq_schema_version_live', sqlite_where=sa.text('died IS NULL'), postgresql_where=sa.text('died IS NULL'))
        batch_op.drop_index('ix_schema_version_died', sqlite_where=sa.text('died IS NOT NULL'), postgresql_where=sa.text('died IS NOT NULL'))
        batch_op.drop_index('ix_schema_version_born')

    op.drop_table('schema_version')
    with op.batch_alter_table('onnx_model', schema=None) as batch_op:
        batch_op.drop_index('uq_onnx_model_name', sqlite_where=sa.text('removed_ms IS NULL'), postgresql_where=sa.text('removed_ms IS NULL'))

    op.drop_table('onnx_model')
    op.drop_table('meta')
    with op.batch_alter_table('label', schema=None) as batch_op:
        batch_op.drop_index('uq_label_code')

    op.drop_table('label')
    with op.batch_alter_table('dataset', schema=None) as batch_op:
        batch_op.drop_index('uq_dataset_name')

    op.drop_table('dataset')
    op.drop_table('counter')
    with op.batch_alter_table('agent', schema=None) as batch_op:
        batch_op.drop_index('uq_agent_kind_name')

    op.drop_table('agent')
