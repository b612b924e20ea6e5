{{- define "churnhouse.settings" -}}
{{- $settings := dict "CHURNHOUSE_API_LOG_LEVEL" "info" "CHURNHOUSE_APPROVAL_REQUIRED" "false" "CHURNHOUSE_HOME" "/data" "CHURNHOUSE_TRUSTED_PROXIES" "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fd00::/8" "DOMAIN" "elearning" -}}
{{- $_ := set $settings "DOMAIN" .Values.domain.name -}}
{{- if .Values.vars }}{{ $_ := set $settings "CHURNHOUSE_VARS" (toJson .Values.vars) }}{{ end -}}
{{- toYaml (mergeOverwrite $settings .Values.settings) -}}
{{- end -}}
