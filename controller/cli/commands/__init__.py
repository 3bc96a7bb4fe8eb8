"""The commands, each in the file of its name; `controller.cli.main` lists them."""
