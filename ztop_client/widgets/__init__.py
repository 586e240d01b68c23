"""What draws. A widget is given values and never knows where a frame came from."""
