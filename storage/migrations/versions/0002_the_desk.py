"""the desk: remarks, the person a picture is with, saved queries, measures

Revision: 0002, after 0001. Imports nothing of ours. There is no way back but the backup made before.
"""
import sqlalchemy as sa
from alembic import op

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('saved_query',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('dataset_id', sa.BigInteger(), nullable=False),
    sa.Column('name', sa.String(), nullable=False),
    sa.Column('body', sa.String(), nullable=False),
    sa.Column('agent_id', sa.BigInteger(), nullable=False),
    sa.Column('at_ms', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['agent_id'], ['agent.id'], name=op.f('fk_saved_query_agent_id_agent')),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset.id'], name=op.f('fk_saved_query_dataset_id_dataset')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_saved_query'))
    )
    with op.batch_alter_table('saved_query', schema=None) as batch_op:
        batch_op.create_index('uq_saved_query_name', ['dataset_id', 'name'], unique=True)

    op.create_table('measure',
    sa.Column('asset_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('brightness', sa.Integer(), nullable=False),
    sa.Column('contrast', sa.Integer(), nullable=False),
    sa.Column('sharpness', sa.Integer(), nullable=False),
    sa.Column('dhash', sa.BigInteger(), nullable=False),
    sa.Column('descriptor', sa.LargeBinary(), nullable=False),
    sa.ForeignKeyConstraint(['asset_id'], ['asset.id'], name=op.f('fk_measure_asset_id_asset')),
    sa.PrimaryKeyConstraint('asset_id', name=op.f('pk_measure'))
    )
    with op.batch_alter_table('measure', schema=None) as batch_op:
        batch_op.create_index('ix_measure_brightness', ['brightness', 'asset_id'], unique=False)
        batch_op.create_index('ix_measure_sharpness', ['sharpness', 'asset_id'], unique=False)

    op.create_table('remark',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('uid', sa.LargeBinary(length=16), nullable=False),
    sa.Column('asset_id', sa.BigInteger(), nullable=False),
    sa.Column('object_uid', sa.LargeBinary(length=16), nullable=True),
    sa.Column('parent', sa.LargeBinary(length=16), nullable=True),
    sa.Column('x', sa.BigInteger(), nullable=True),
    sa.Column('y', sa.BigInteger(), nullable=True),
    sa.Column('body', sa.String(), nullable=False),
    sa.Column('resolved', sa.Integer(), nullable=False),
    sa.Column('agent_id', sa.BigInteger(), nullable=False),
    sa.Column('at_ms', sa.BigInteger(), nullable=False),
    sa.Column('same_as', sa.BigInteger(), nullable=True),
    sa.Column('born', sa.BigInteger(), nullable=False),
    sa.Column('died', sa.BigInteger(), nullable=True),
    sa.CheckConstraint('died IS NULL OR died > born', name=op.f('ck_remark_interval')),
    sa.ForeignKeyConstraint(['agent_id'], ['agent.id'], name=op.f('fk_remark_agent_id_agent')),
    sa.ForeignKeyConstraint(['asset_id'], ['asset.id'], name=op.f('fk_remark_asset_id_asset')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_remark'))
    )
    with op.batch_alter_table('remark', schema=None) as batch_op:
        batch_op.create_index('ix_remark_asset_id_died', ['asset_id', 'died'], unique=False)
        batch_op.create_index('ix_remark_born', ['born'], unique=False)
        batch_op.create_index('ix_remark_died', ['died'], unique=False, sqlite_where=sa.text('died IS NOT NULL'), postgresql_where=sa.text('died IS NOT NULL'))
        batch_op.create_index('ix_remark_open', ['asset_id'], unique=False, sqlite_where=sa.text('died IS NULL AND resolved = 0 AND parent IS NULL'), postgresql_where=sa.text('died IS NULL AND resolved = 0 AND parent IS NULL'))
        batch_op.create_index('uq_remark_live', ['uid'], unique=True, sqlite_where=sa.text('died IS NULL'), postgresql_where=sa.text('died IS NULL'))

    op.create_index('ix_annotation_deleted', 'annotation', ['died', 'id'], unique=False, sqlite_where=sa.text('died IS NOT NULL AND origin <> 1'), postgresql_where=sa.text('died IS NOT NULL AND origin <> 1'))
    # Not by batch mode, which would copy the table: this takes no time at five million rows.
    op.execute('ALTER TABLE item ADD COLUMN assignee_id BIGINT CONSTRAINT fk_item_assignee_id_agent REFERENCES agent (id)')
    op.create_index('ix_item_review', 'item', ['dataset_id', 'review', 'assignee_id', 'asset_id'], unique=False, sqlite_where=sa.text('died IS NULL AND (review <> 0 OR assignee_id IS NOT NULL)'), postgresql_where=sa.text('died IS NULL AND (review <> 0 OR assignee_id IS NOT NULL)'))
