"""What a run leaves, written for other tools: TensorBoard and MLflow. Nothing here is sent anywhere by itself."""
