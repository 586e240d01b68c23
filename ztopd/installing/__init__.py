"""``ztopd install`` and ``ztopd uninstall``: the service of a machine, by its administrator."""
