"""`datagen`, and `python -m datagen`: heeds Ctrl-C before anything else is imported, and until Python has ended."""

from __future__ import annotations

from datagen.interrupts import heed_ctrl_c, leave, leave_on_ctrl_c


def main() -> None:
    """Run the command line."""
    leave_on_ctrl_c()
    try:
        from datagen.cli import main as run_command

        heed_ctrl_c()
        run_command()
    except KeyboardInterrupt:
        leave()
    finally:
        leave_on_ctrl_c()


if __name__ == "__main__":
    main()
