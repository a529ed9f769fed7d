{{- define "tickserve.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "tickserve.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- /* Of cpu, memory and gpu. */ -}}
{{- define "tickserve.resources" -}}
{{- $made := dict -}}
{{- range $kind, $amounts := . -}}
{{- $of := pick $amounts "cpu" "memory" -}}
{{- if gt (int $amounts.gpu) 0 }}{{ $_ := set $of "nvidia.com/gpu" (int $amounts.gpu) }}{{ end -}}
{{- $_ := set $made $kind $of -}}
{{- end -}}
{{- toJson $made -}}
{{- end -}}

{{- define "tickserve.antiAffinity" -}}
{{- $term := dict "topologyKey" "kubernetes.io/hostname"
    "labelSelector" (dict "matchLabels" (include "tickserve.selector" . | fromYaml)) -}}
{{- if eq .root.Values.antiAffinity "required" -}}
affinity:
  podAntiAffinity:
    requiredDuringSchedulingIgnoredDuringExecution: {{ list $term | toJson }}
{{- else if eq .root.Values.antiAffinity "preferred" -}}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution: {{ list (dict "weight" 100 "podAffinityTerm" $term) | toJson }}
{{- end -}}
{{- end -}}

{{- /* Where and how a pod runs: nodeSelector, tolerations, pull secrets. */ -}}
{{- define "tickserve.placement" -}}
{{- with .place.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .place.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- end -}}

{{- /* What Ray reads when it is first imported, in every process of the cluster (server/runtime_env.py). */ -}}
{{- define "tickserve.rayEnvironment" -}}
{{- $code := include "tickserve.code" .root | fromJson -}}
{{- $settings := include "tickserve.settings" .root | fromJson -}}
{{- $names := $code.environment -}}
{{- $_ := set $names "RAY_SERVE_HAPROXY_H2_FE_MAX_CONCURRENT_STREAMS" (int64 $settings.max_streams_per_connection | toString) -}}
{{- $_ := set $names "RAY_SERVE_GRPC_MAX_MESSAGE_SIZE" (int64 $settings.transport_max_message_bytes | toString) -}}
{{- if gt ((include "tickserve.scaleBounds" .root | fromJson).most | int) 1 }}{{ $_ := set $names "RAY_SERVE_HAPROXY_HEALTH_CHECK_INTER" "500ms" }}{{ end -}}
{{- range .root.Values.extraEnv }}{{ $_ := unset $names .name }}{{ end }}
{{- range $name, $value := $names }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- if .root.Values.edge.enabled }}
- name: TICKSERVE_EDGE_SECRET
  valueFrom: {secretKeyRef: {name: {{ include "tickserve.edgeSecret" .root }}, key: edge-secret}}
{{- end }}
{{- range .root.Values.extraEnv }}
- {{ toJson . }}
{{- end }}
{{- end -}}

{{- define "tickserve.probe" -}}
{{- toJson (merge (deepCopy .asks) .times) -}}
{{- end -}}

{{- define "tickserve.rayProbes" -}}
{{- $node := dict "httpGet" (dict "path" "/api/healthz" "port" "agent") -}}
{{- $service := dict "grpc" (dict "port" (int .settings.grpc_port) "service" "tickserve.v1.PredictionService") -}}
{{- $readiness := mergeOverwrite (deepCopy .root.Values.probes.readiness) (pick .root.Values.healthCheck "initialDelaySeconds") -}}
{{- /* The originals gave up after three of their periods. */ -}}
{{- with .root.Values.healthCheck.periodSeconds -}}
{{- $_ := set $readiness "failureThreshold" (divf (mul 3 .) $readiness.periodSeconds | ceil | int) -}}
{{- end -}}
startupProbe: {{ include "tickserve.probe" (dict "asks" $node "times" .root.Values.probes.startup) }}
livenessProbe: {{ include "tickserve.probe" (dict "asks" $node "times" .root.Values.probes.liveness) }}
{{- /* Ray Serve is told of the service once the head is ready: the head's readiness cannot wait for the service. */}}
readinessProbe: {{ include "tickserve.probe" (dict "asks" (ternary $node $service (eq .part "head")) "times" $readiness) }}
{{- end -}}

{{- /* KubeRay compares clusters without these, and would leave a running one as it is. As annotations they count. */ -}}
{{- define "tickserve.rayAnnotations" -}}
{{- $made := deepCopy .place.annotations -}}
{{- if eq .part "worker" -}}
{{- $workers := include "tickserve.workers" .root | fromJson -}}
{{- $_ := set $made "tickserve/workers" (printf "%d-%d" (int $workers.least) (int $workers.most)) -}}
{{- end -}}
{{- with .place.tolerations }}{{ $_ := set $made "tickserve/tolerations" (toJson . | sha256sum | trunc 16) }}{{ end -}}
{{- toJson $made -}}
{{- end -}}

{{- /* The pod of a Ray node. Arguments: root, part, place, resources. */ -}}
{{- define "tickserve.rayPod" -}}
{{- $settings := include "tickserve.settings" .root | fromJson -}}
{{- $v := .root.Values -}}
metadata:
  labels:
    {{- include "tickserve.selector" . | nindent 4 }}
    tickserve/ray: "true"
  {{- with include "tickserve.rayAnnotations" . | fromJson }}
  annotations: {{ toJson . }}
  {{- end }}
spec:
  securityContext:
    {{- include "tickserve.podSecurity" .root | nindent 4 }}
  automountServiceAccountToken: {{ and (eq .part "head") $v.autoscaling.enabled }}
  terminationGracePeriodSeconds: 60
  {{- include "tickserve.placement" . | nindent 2 }}
  {{- if eq .part "worker" }}
  {{- include "tickserve.antiAffinity" . | nindent 2 }}
  {{- end }}
  containers:
    - name: ray-{{ .part }}
      image: {{ include "tickserve.image" .root | quote }}
      imagePullPolicy: {{ $v.image.pullPolicy }}
      securityContext:
        {{- include "tickserve.containerSecurity" .root | nindent 8 }}
      env:
        {{- include "tickserve.rayEnvironment" . | nindent 8 }}
      ports:
        {{- if eq .part "head" }}
        - {name: gcs-server, containerPort: 6379}
        - {name: dashboard, containerPort: 8265}
        {{- end }}
        - {name: serve-http, containerPort: {{ int $settings.http_port }}}
        - {name: serve-grpc, containerPort: {{ int $settings.grpc_port }}}
        {{- if and (eq .part "worker") $settings.metrics.enabled (int $settings.metrics.port) }}
        - {name: tick-metrics, containerPort: {{ int $settings.metrics.port }}}
        {{- end }}
        - {name: agent, containerPort: 52365}
      resources: {{ .resources }}
      {{- include "tickserve.rayProbes" (dict "root" .root "part" .part "settings" $settings) | nindent 6 }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        - {name: shared-mem, mountPath: /dev/shm}
        - {name: cache, mountPath: /var/cache/tickserve}
        - {name: state, mountPath: /var/lib/tickserve}
        - {name: configs, mountPath: /configs, readOnly: true}
        {{- if $v.persistence.enabled }}
        - {name: models, mountPath: {{ $v.persistence.mountPath }}, readOnly: {{ $v.persistence.readOnly }}}
        {{- end }}
        {{- if $v.keys.existingSecret }}
        - {name: keys, mountPath: /run/secrets/tickserve/keys, readOnly: true}
        {{- end }}
        {{- if include "tickserve.redisSecret" .root }}
        - {name: redis, mountPath: /run/secrets/tickserve/redis, readOnly: true}
        {{- end }}
  volumes:
    - {name: tmp, emptyDir: {sizeLimit: {{ $v.temporary }}}}
    - {name: shared-mem, emptyDir: {medium: Memory, sizeLimit: {{ $v.sharedMemory }}}}
    - {name: cache, emptyDir: {}}
    - {name: state, emptyDir: {}}
    - {name: configs, configMap: {name: {{ include "tickserve.fullname" .root }}-configs}}
    {{- if $v.persistence.enabled }}
    - name: models
      persistentVolumeClaim: {claimName: {{ include "tickserve.claim" .root }}, readOnly: {{ $v.persistence.readOnly }}}
    {{- end }}
    {{- with $v.keys.existingSecret }}
    - {name: keys, secret: {secretName: {{ . }}, defaultMode: 0440}}
    {{- end }}
    {{- with include "tickserve.redisSecret" .root }}
    - {name: redis, secret: {secretName: {{ . }}, defaultMode: 0440}}
    {{- end }}
{{- end -}}
