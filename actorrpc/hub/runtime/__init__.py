"""What a hub process is made ready with, so that an app finds what it may expect, and cannot end it."""
