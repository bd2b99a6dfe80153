{{- define "copyhold.name" -}}
{{- if contains "copyhold" .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-copyhold{{ end }}
{{- end }}

{{- define "copyhold.selector" -}}
app.kubernetes.io/name: copyhold
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "copyhold.labels" -}}
{{ include "copyhold.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "copyhold.scheme" -}}
{{- if .Values.tls.secret }}HTTPS{{ else }}HTTP{{ end }}
{{- end }}

{{- /* The settings, with those that the chart itself determines. */ -}}
{{- define "copyhold.settings" -}}
{{- $name := include "copyhold.name" . }}
{{- $settings := deepCopy .Values.settings }}
{{- $hosts := list $name (printf "%s.%s" $name .Release.Namespace) (printf "%s.%s.svc" $name .Release.Namespace) (printf "%s.%s.svc.cluster.local" $name .Release.Namespace) }}
{{- if .Values.ingress.enabled }}{{ $hosts = append $hosts .Values.ingress.host }}{{ end }}
{{- $_ := set $settings "hosts" (concat $hosts (default list $settings.hosts) | uniq) }}
{{- $_ := set $settings "data" "/var/lib/copyhold" }}
{{- $_ := set $settings "listen" "0.0.0.0:7400" }}
{{- if .Values.metrics.enabled }}{{ $_ := set $settings "metrics_listen" "0.0.0.0:7401" }}{{ end }}
{{- $_ := set $settings "sealing" (dict "key_file" "/run/secrets/copyhold/sealing-key") }}
{{- if .Values.tls.secret }}{{ $_ := set $settings "tls" (dict "certificate" "/run/tls/tls.crt" "key" "/run/tls/tls.key") }}{{ end }}
{{- if .Values.postgres.url }}
{{- $_ := set $settings "database" .Values.postgres.url }}
{{- $_ := set $settings "database_password_file" "/run/secrets/copyhold/database-password" }}
{{- end }}
{{- toYaml $settings }}
{{- end }}
