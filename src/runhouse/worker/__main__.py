"""Run a worker as `python -m runhouse.worker`."""

from runhouse.worker.main import main

if __name__ == "__main__":
    main()
