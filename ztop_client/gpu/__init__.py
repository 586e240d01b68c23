"""``ztop-g``: the GPUs and their processes; and what ``ztop`` shows of them."""
