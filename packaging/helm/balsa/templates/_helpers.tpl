{{- define "balsa.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- define "balsa.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "balsa.labels" -}}
{{ include "balsa.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | replace "+" "_" | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "balsa.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion | replace "+" "_" }}
{{- end }}

{{- define "balsa.domain" -}}
{{ include "balsa.name" . }}-headless.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}
{{- end }}

{{- define "balsa.clientScheme" -}}
{{ if .Values.tls.client.secret }}https{{ else }}http{{ end }}
{{- end }}

{{- define "balsa.peerScheme" -}}
{{ if .Values.tls.peer.secret }}https{{ else }}http{{ end }}
{{- end }}

{{- /* All members, as --initial-cluster has them. */ -}}
{{- define "balsa.cluster" -}}
{{- $members := list }}
{{- range $i := until (int .Values.replicas) }}
{{- $pod := printf "%s-%d" (include "balsa.name" $) $i }}
{{- $members = append $members (printf "%s=%s://%s.%s:23800" $pod (include "balsa.peerScheme" $) $pod (include "balsa.domain" $)) }}
{{- end }}
{{- join "," $members }}
{{- end }}

{{- define "balsa.endpoints" -}}
{{ include "balsa.clientScheme" . }}://{{ include "balsa.name" . }}.{{ .Release.Namespace }}.svc:23790
{{- end }}

{{- define "balsa.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "balsa.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}
