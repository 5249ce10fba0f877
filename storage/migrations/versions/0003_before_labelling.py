"""before labelling: perceptual hash, glare and haze of a picture; likeness, embeddings, worth; priority of jobs

Revision: 0003, after 0002. Imports nothing of ours. There is no way back but the backup made before.
"""
import sqlalchemy as sa
from alembic import op

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('likeness',
    sa.Column('dataset_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('kind', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('asset_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('group_id', sa.BigInteger(), nullable=False),
    sa.Column('rank', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['asset_id'], ['asset.id'], name=op.f('fk_likeness_asset_id_asset')),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset.id'], name=op.f('fk_likeness_dataset_id_dataset')),
    sa.PrimaryKeyConstraint('dataset_id', 'kind', 'asset_id', name=op.f('pk_likeness'))
    )
    op.create_index('ix_likeness_group', 'likeness', ['dataset_id', 'kind', 'group_id', 'rank'], unique=False)

    op.create_table('embedding',
    sa.Column('model_digest', sa.LargeBinary(length=32), nullable=False),
    sa.Column('asset_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('vector', sa.LargeBinary(), nullable=False),
    sa.ForeignKeyConstraint(['asset_id'], ['asset.id'], name=op.f('fk_embedding_asset_id_asset')),
    sa.PrimaryKeyConstraint('model_digest', 'asset_id', name=op.f('pk_embedding'))
    )

    op.create_table('worth',
    sa.Column('dataset_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('asset_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('value', sa.Integer(), nullable=False),
    sa.Column('reason', sa.String(), nullable=False),
    sa.ForeignKeyConstraint(['asset_id'], ['asset.id'], name=op.f('fk_worth_asset_id_asset')),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset.id'], name=op.f('fk_worth_dataset_id_dataset')),
    sa.PrimaryKeyConstraint('dataset_id', 'asset_id', name=op.f('pk_worth'))
    )
    op.create_index('ix_worth_value', 'worth', ['dataset_id', 'value', 'asset_id'], unique=False)

    # Not by batch mode, which would copy the tables: this takes no time at five million rows.
    op.execute('ALTER TABLE measure ADD COLUMN phash BIGINT')
    op.execute('ALTER TABLE measure ADD COLUMN glare INTEGER')
    op.execute('ALTER TABLE measure ADD COLUMN haze INTEGER')
    op.execute('ALTER TABLE job ADD COLUMN priority INTEGER NOT NULL DEFAULT 0')
