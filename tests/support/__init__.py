"""What real tests are made of: processes, a real Envoy, model servers that misbehave on demand, a steady load."""
