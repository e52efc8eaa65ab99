"""What several benches share: live KMEs fed with key, and load from many connections."""
