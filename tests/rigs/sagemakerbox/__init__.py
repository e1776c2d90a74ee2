"""SageMaker training jobs and Session Manager on this machine; README.md tells what is real."""
