variable "name" {
  description = "Prefix of everything that is made."
  type        = string
  default     = "churnhouse"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}$", var.name))
    error_message = "name must be 2 to 31 lower-case letters, digits or hyphens."
  }
}

variable "subnet_ids" {
  description = "Private subnets of the cluster, in at least two zones."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "subnet_ids needs at least two subnets."
  }
}

variable "kubernetes_version" {
  description = "Minor version of Kubernetes; the manifests need 1.31 or newer."
  type        = string
  default     = "1.33"
}

variable "node_type" {
  description = "Machine type of the nodes: a job of prod may use 4 cores and 16 GiB."
  type        = string
  default     = "m7i.2xlarge"
}

variable "nodes" {
  description = "Fewest and most nodes."
  type        = object({ min = number, max = number })
  default     = { min = 2, max = 4 }
}

variable "kms_key_arn" {
  description = "KMS key that encrypts the bucket, the registry and the cluster's Secrets."
  type        = string
}

variable "log_bucket" {
  description = "Existing bucket that gets the access log of the raw files."
  type        = string
}
