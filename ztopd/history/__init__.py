"""What the daemon remembers: the ring in memory, the store on disk, and one way to ask both."""
