"""The yardstick model: class-conditional 16x16 digits, trained and sampled on one core."""
