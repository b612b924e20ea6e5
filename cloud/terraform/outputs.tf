output "raw_bucket" {
  description = "Bucket of the raw files; `churnhouse ingest --raw s3://...` reads it."
  value       = aws_s3_bucket.raw.bucket
}

output "registry" {
  description = "REGISTRY of `make push`."
  value       = split("/", aws_ecr_repository.image["churnhouse-api"].repository_url)[0]
}

output "cluster" {
  description = "Name of the cluster, for aws eks update-kubeconfig."
  value       = aws_eks_cluster.this.name
}
