"""The parts of a controller, each wired from adapters by the settings. `app.py` joins them and runs them."""
