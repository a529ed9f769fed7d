{{- define "tickserve.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- /* KubeRay takes 47 characters, and puts its own behind them. */ -}}
{{- default $full .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "tickserve.image" -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}

{{- /* Of everything but Ray's pods. */ -}}
{{- define "tickserve.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- /* What pods are found by; part: head, worker, edge or redis. Not app.kubernetes.io/name: KubeRay finds the head by
its own value of it, and its head service would have no pod. */ -}}
{{- define "tickserve.selector" -}}
tickserve/release: {{ include "tickserve.fullname" .root }}
{{- with .part }}
tickserve/part: {{ . }}
{{- end }}
{{- end -}}

{{- /* KubeRay's own; what callers use is Helm's, with the edge or without. */ -}}
{{- define "tickserve.serveService" -}}
{{- printf "%s-serve" (include "tickserve.fullname" .) -}}
{{- end -}}

{{- define "tickserve.edgeSecret" -}}
{{- default (printf "%s-edge" (include "tickserve.fullname" .)) .Values.edge.existingSecret -}}
{{- end -}}

{{- define "tickserve.redisSecret" -}}
{{- if .Values.redis.existingSecret -}}{{ .Values.redis.existingSecret }}
{{- else if eq .Values.redis.mode "internal" -}}{{ printf "%s-redis" (include "tickserve.fullname" .) }}
{{- end -}}
{{- end -}}

{{- define "tickserve.claim" -}}
{{- default (printf "%s-registry" (include "tickserve.fullname" .)) .Values.persistence.existingClaim -}}
{{- end -}}
