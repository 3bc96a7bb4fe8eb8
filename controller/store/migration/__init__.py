"""A store moved from one backend to another, while no controller uses either of them."""
