"""`python -m seqloom_cli`, as torchrun starts it: `torchrun --nproc-per-node 2 -m seqloom_cli train ...`."""

from seqloom_cli.entry import main

if __name__ == "__main__":
    main()
