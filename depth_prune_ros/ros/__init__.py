"""The ROS 2 side: node, player and recorder."""
