"""What real tests are made of: processes, a real Envoy, model servers that misbehave when told to, a steady load."""
