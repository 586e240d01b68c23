"""Where frames come from. Whatever shows them knows only :class:`ztop_client.sources.source.Source`."""
