"""``python -m ztopd.server``: started by the sampler, which feeds it frames; nobody else has a use for it."""

import sys

if __name__ == "__main__":
    # asyncio does without TLS where there is none: 4 MiB that a Unix socket has no use for
    sys.modules["ssl"] = None  # type: ignore[assignment]
    from ztopd.server.process import main

    sys.exit(main())
