{{- define "churnhouse.settings" -}}
{{- $settings := dict "CHURNHOUSE_API_LOG_LEVEL" "info" "CHURNHOUSE_APPROVAL_REQUIRED" "false" "CHURNHOUSE_HOME" "/data" "DOMAIN" "elearning" -}}
{{- $_ := set $settings "DOMAIN" .Values.domain.name -}}
{{- if .Values.vars }}{{ $_ := set $settings "CHURNHOUSE_VARS" (toJson .Values.vars) }}{{ end -}}
{{- toYaml (mergeOverwrite $settings .Values.settings) -}}
{{- end -}}
