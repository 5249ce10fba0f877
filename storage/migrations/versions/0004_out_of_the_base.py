"""out of the base: hubs, receipts, uploads under way; what may leave, derived pictures; the audit log and its anchor

Revision: 0004, after 0003. Imports nothing of ours. There is no way back but the backup made before.
"""
import sqlalchemy as sa
from alembic import op

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def _key() -> sa.Column:
    return sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False)


def upgrade() -> None:
    op.create_table('hub',
    _key(),
    sa.Column('uid', sa.LargeBinary(length=16), nullable=False),
    sa.Column('name', sa.String(), nullable=False),
    sa.Column('kind', sa.String(), nullable=False),
    sa.Column('settings', sa.String(), nullable=False),
    sa.Column('added_ms', sa.BigInteger(), nullable=False),
    sa.Column('removed_ms', sa.BigInteger(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_hub'))
    )
    op.create_index('uq_hub_name', 'hub', ['name'], unique=True,
                    sqlite_where=sa.text('removed_ms IS NULL'), postgresql_where=sa.text('removed_ms IS NULL'))

    op.create_table('upload',
    _key(),
    sa.Column('hub_id', sa.BigInteger(), nullable=False),
    sa.Column('key', sa.String(), nullable=False),
    sa.Column('upload_id', sa.String(), nullable=False),
    sa.Column('part_bytes', sa.BigInteger(), nullable=False),
    sa.Column('at_ms', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['hub_id'], ['hub.id'], name=op.f('fk_upload_hub_id_hub')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_upload'))
    )
    op.create_index('uq_upload_hub_id_key', 'upload', ['hub_id', 'key'], unique=True)

    op.create_table('receipt',
    _key(),
    sa.Column('version_id', sa.BigInteger(), nullable=False),
    sa.Column('hub', sa.String(), nullable=False),
    sa.Column('at_ms', sa.BigInteger(), nullable=False),
    sa.Column('body', sa.LargeBinary(), nullable=False),
    sa.Column('signature', sa.LargeBinary(length=64), nullable=False),
    sa.Column('public', sa.LargeBinary(length=32), nullable=False),
    sa.ForeignKeyConstraint(['version_id'], ['dataset_version.id'], name=op.f('fk_receipt_version_id_dataset_version')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_receipt'))
    )
    op.create_index('ix_receipt_version_id', 'receipt', ['version_id'], unique=False)

    op.create_table('policy',
    _key(),
    sa.Column('scope', sa.Integer(), nullable=False),
    sa.Column('ref_id', sa.BigInteger(), nullable=False),
    sa.Column('tag', sa.String(), nullable=False),
    sa.Column('agent_id', sa.BigInteger(), nullable=False),
    sa.Column('at_ms', sa.BigInteger(), nullable=False),
    sa.Column('ended_ms', sa.BigInteger(), nullable=True),
    sa.ForeignKeyConstraint(['agent_id'], ['agent.id'], name=op.f('fk_policy_agent_id_agent')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_policy'))
    )
    op.create_index('uq_policy_live', 'policy', ['scope', 'ref_id'], unique=True,
                    sqlite_where=sa.text('ended_ms IS NULL'), postgresql_where=sa.text('ended_ms IS NULL'))

    op.create_table('derivation',
    sa.Column('asset_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('from_id', sa.BigInteger(), nullable=False),
    sa.Column('activity_id', sa.BigInteger(), nullable=False),
    sa.Column('recipe', sa.String(), nullable=False),
    sa.ForeignKeyConstraint(['activity_id'], ['activity.id'], name=op.f('fk_derivation_activity_id_activity')),
    sa.ForeignKeyConstraint(['asset_id'], ['asset.id'], name=op.f('fk_derivation_asset_id_asset')),
    sa.ForeignKeyConstraint(['from_id'], ['asset.id'], name=op.f('fk_derivation_from_id_asset')),
    sa.PrimaryKeyConstraint('asset_id', name=op.f('pk_derivation'))
    )
    op.create_index('ix_derivation_from_id', 'derivation', ['from_id'], unique=False)

    op.create_table('audit',
    sa.Column('seq', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('at_ms', sa.BigInteger(), nullable=False),
    sa.Column('agent', sa.String(), nullable=False),
    sa.Column('verb', sa.String(), nullable=False),
    sa.Column('subject', sa.String(), nullable=False),
    sa.Column('detail', sa.String(), nullable=False),
    sa.Column('prev', sa.LargeBinary(length=32), nullable=False),
    sa.Column('digest', sa.LargeBinary(length=32), nullable=False),
    sa.PrimaryKeyConstraint('seq', name=op.f('pk_audit'))
    )

    # Not by batch mode, which would copy the table.
    binary = 'BYTEA' if op.get_bind().dialect.name == 'postgresql' else 'BLOB'
    op.execute('ALTER TABLE dataset_version ADD COLUMN audit_seq BIGINT')
    op.execute(f'ALTER TABLE dataset_version ADD COLUMN audit_head {binary}')
    op.execute('ALTER TABLE dataset_version ADD COLUMN statement VARCHAR')
    op.execute(f'ALTER TABLE dataset_version ADD COLUMN statement_signature {binary}')

    # A picture is traced by the digest that other tools know it by, and to the copies that were left out.
    op.create_index('ix_asset_sha256', 'asset', ['sha256'], unique=False)
    op.create_index('ix_seen_file_asset_id', 'seen_file', ['asset_id'], unique=False,
                    sqlite_where=sa.text('asset_id IS NOT NULL'), postgresql_where=sa.text('asset_id IS NOT NULL'))
