"""`python -m extauthz.workers FD`: one worker, as its parent starts it (extauthz.workers.worker)."""

import signal
import sys

if __name__ == "__main__":
    # Ctrl-C reaches everyone in the terminal; the parent stops its workers in order. So before what takes long to import.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from extauthz.workers.worker import main

    sys.exit(main())
