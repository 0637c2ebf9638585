"""What a run leaves, written for other tools to show: TensorBoard and MLflow. Nothing here is sent anywhere by itself."""
