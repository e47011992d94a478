"""Commands about what a user has: images, keys, reserved capacity and limits."""
