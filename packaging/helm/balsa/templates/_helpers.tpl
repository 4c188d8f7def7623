{{- define "balsa.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- define "balsa.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "balsa.backupSelector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}-backup
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

{{- /* The first members, so many of them, as --initial-cluster and --join have them. */ -}}
{{- define "balsa.members" -}}
{{- $top := index . 0 }}
{{- $members := list }}
{{- range $i := until (index . 1) }}
{{- $pod := printf "%s-%d" (include "balsa.name" $top) $i }}
{{- $members = append $members (printf "%s=%s://%s.%s:23800" $pod (include "balsa.peerScheme" $top) $pod (include "balsa.domain" $top)) }}
{{- end }}
{{- join "," $members }}
{{- end }}

{{- /* Nobody but a member may speak for one. A secret is not made here: a chart that is rendered without a cluster, as
GitOps does, would make another one each time, and members with different ones shut each other out. */ -}}
{{- define "balsa.peersAreKnown" -}}
{{- if not (or .Values.clusterSecret .Values.tls.peer.secret .Values.insecure) }}
{{- $secret := printf "%s-cluster" (include "balsa.name" .) }}
{{- fail (printf `who reaches the peer port could speak for a member, so say how members know each other. Either by a secret:

  kubectl -n %s create secret generic %s --from-literal=secret="$(openssl rand -base64 32)"
  helm ... --set clusterSecret=%s

or by certificates (tls.peer.secret), or not at all (insecure=true)` .Release.Namespace $secret $secret) }}
{{- end }}
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
