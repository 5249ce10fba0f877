"""Between houses, at the desk: versions received, receipts, shuttle disks, work at a hub."""
