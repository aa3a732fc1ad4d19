"""
Metric depth from one camera on ROS 2, by networks pruned end to end.

The way of the data::

    rosbag -> bags.frames -> Frame -> offline.dataset -> Sample -> offline.networks -> disparities
           -> offline.losses (+ masks, cost) -> offline.train -> Checkpoint -> offline.compact
           -> small network -> offline.export -> model.onnx (card inside)
    camera -> ros.depth_node -> core.images -> core.engine -> core.camera -> ros.messages
           -> depth, camera_info, points, preview
    rosbag -> bags.frames -> (core.engine | a recorded depth topic)
           -> evaluation.evaluate + core.metrics -> evaluation.report
"""
