"""What the daemon and its clients share: the schema, frames and deltas, rates, and the wire.

Imports nothing of ``ztopd`` or ``ztop_client``.
"""
