-- Run once, when the server's volume is empty: a database each for Dagster and MLflow, beside
-- `soundalike`, which the image makes.
CREATE DATABASE dagster;
CREATE DATABASE mlflow;
