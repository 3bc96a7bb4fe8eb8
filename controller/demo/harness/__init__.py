"""What the demo and the tests share: child processes, free ports and a load over HTTP. Nothing here knows the demo."""
