{{- /* Values that mean nothing here, contradict each other, or would stop the service: each by name, with the remedy. */ -}}
{{- define "tickserve.refusals" -}}
{{- $found := concat
    (include "tickserve.refusedOriginals" . | fromJsonArray)
    (include "tickserve.refusedSettings" . | fromJsonArray)
    (include "tickserve.refusedCombinations" . | fromJsonArray) -}}
{{- if $found }}{{ fail (printf "these values cannot be used:\n  - %s\n" (join "\n  - " $found)) }}{{ end -}}
{{- end -}}

{{- /* What the originals' values had and nothing here can do. */ -}}
{{- define "tickserve.refusedOriginals" -}}
{{- $found := list -}}
{{- range $block := list "rayServe" "batchOptimized" -}}
{{- if hasKey $.Values $block -}}
{{- $found = append $found (printf "%s: write what is in it at the top, without the name" $block) -}}
{{- end -}}
{{- end -}}
{{- range $name := list "targetCPUUtilization" "targetMemoryUtilization" "targetGPUUtilization" -}}
{{- if hasKey $.Values.autoscaling $name -}}
{{- $found = append $found (printf "autoscaling.%s: replicas are scaled by predicted queue time and deadline misses, for a busy engine may well be in time; leave it out, and see settings.autoscaling" $name) -}}
{{- end -}}
{{- end -}}
{{- if hasKey .Values.env "RAY_ADDRESS" -}}
{{- $found = append $found "env.RAY_ADDRESS: KubeRay sets it in every pod, and no Ray client (ray://) is needed, for the service is deployed by its resource; leave it out" -}}
{{- end -}}
{{- if and .Values.env.MODEL_REGISTRY_PATH (ne (trimSuffix "/" .Values.env.MODEL_REGISTRY_PATH) .Values.persistence.mountPath) -}}
{{- $found = append $found "env.MODEL_REGISTRY_PATH: the registry is at persistence.mountPath; set that, and leave the variable out" -}}
{{- end -}}
{{- if and .Values.env.MODEL_PATH .Values.persistence.readOnly -}}
{{- $found = append $found "env.MODEL_PATH: its weights are imported into the registry; set persistence.readOnly to false, or import them once with `tickserve serve` and leave it out" -}}
{{- end -}}
{{- if hasKey .Values.healthCheck "path" -}}
{{- $found = append $found "healthCheck.path: probes ask grpc.health.v1 and Ray's agent, which have no path to choose; leave it out" -}}
{{- end -}}
{{- if contains "latest" (toString .Values.image.tag) -}}
{{- $found = append $found (printf "image.tag %s: replicas of one service must be of one version; name it" .Values.image.tag) -}}
{{- end -}}
{{- $profiles := uniq (compact (list .Values.config.profile .Values.env.BATCH_CONFIG_PROFILE .Values.settings.profile)) -}}
{{- if gt (len $profiles) 1 -}}
{{- $found = append $found (printf "config.profile, env.BATCH_CONFIG_PROFILE and settings.profile name %s; say it once, in settings.profile" (join " and " $profiles)) -}}
{{- end -}}
{{- $scheduler := default dict .Values.settings.scheduler -}}
{{- if and .Values.config.batchSize (hasKey $scheduler "max_batch_size") -}}
{{- $found = append $found "config.batchSize: settings.scheduler.max_batch_size says it too; leave one of them out" -}}
{{- end -}}
{{- if and (hasKey .Values.config "waitTimeMs") (hasKey $scheduler "max_queue_delay") -}}
{{- $found = append $found "config.waitTimeMs: settings.scheduler.max_queue_delay says it too; leave one of them out" -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{- /* Settings that follow from other values. */ -}}
{{- define "tickserve.refusedSettings" -}}
{{- $found := list -}}
{{- $elsewhere := dict
    "host" "pods listen on all their addresses, and networkPolicy says who reaches them"
    "registry" "set persistence.mountPath"
    "model_path" "set env.MODEL_PATH"
    "replicas" "set replicaCount"
    "tls" "set edge.tlsSecret, edge.clientCaSecret and edge.settings"
    "redis_password_file" "set redis.existingSecret" -}}
{{- $inside := dict
    "autoscaling" (dict "enabled" "set autoscaling.enabled" "min_replicas" "set autoscaling.minReplicas" "max_replicas" "set autoscaling.maxReplicas")
    "security" (dict "keys_file" "set keys.existingSecret" "allow_insecure_public_bind" "the edge and networkPolicy stand in front")
    "metrics" (dict "host" "pods listen on all their addresses, and networkPolicy says who reaches them")
    "models" (dict "compiled_cache" "each pod has a folder for it")
    "windows" (dict "store" "set redis.mode" "redis_url" "set redis.mode and redis.url") -}}
{{- range $name, $remedy := $elsewhere -}}
{{- if hasKey $.Values.settings $name }}{{ $found = append $found (printf "settings.%s: %s" $name $remedy) }}{{ end -}}
{{- end -}}
{{- range $group, $names := $inside -}}
{{- $given := default dict (get $.Values.settings $group) -}}
{{- range $name, $remedy := $names -}}
{{- if hasKey $given $name }}{{ $found = append $found (printf "settings.%s.%s: %s" $group $name $remedy) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- range $name := list "cert" "key" "client_ca" -}}
{{- if hasKey $.Values.edge.settings $name }}{{ $found = append $found (printf "edge.settings.%s: set edge.tlsSecret or edge.clientCaSecret" $name) }}{{ end -}}
{{- end -}}
{{- $originals := list "MODEL_PATH" "MODEL_REGISTRY_PATH" "BATCH_CONFIG_PROFILE" "RAY_ADDRESS" -}}
{{- range .Values.extraEnv -}}
{{- if or (hasPrefix "TICKSERVE_" .name) (has .name $originals) }}{{ $found = append $found (printf "extraEnv: no replica reads %s; say it in settings, or in env" .name) }}{{ end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{- /* Values that do not go together. */ -}}
{{- define "tickserve.refusedCombinations" -}}
{{- $found := list -}}
{{- $settings := include "tickserve.settings" . | fromJson -}}
{{- if not $settings.replica_cpus -}}
{{- $found = append $found "settings.replica_cpus: say how many CPUs a replica has, here or as settings.autoscaling.resources" -}}
{{- else if lt (include "tickserve.replicasEach" . | int) 1 -}}
{{- $found = append $found (printf "settings.replica_cpus %v: no replica fits a worker of resources.limits.cpu %v and gpu %v; lower the one or raise the other" $settings.replica_cpus .Values.resources.limits.cpu .Values.resources.limits.gpu) -}}
{{- end -}}
{{- if ne (int .Values.resources.requests.gpu) (int .Values.resources.limits.gpu) -}}
{{- $found = append $found "resources.requests.gpu: Kubernetes gives out whole GPUs; set it to resources.limits.gpu" -}}
{{- end -}}
{{- if and (eq $settings.engine "cuda") (lt (int .Values.resources.limits.gpu) 1) -}}
{{- $found = append $found "settings.engine cuda: resources.limits.gpu is 0; give each worker a GPU" -}}
{{- end -}}
{{- if and (ne $settings.engine "cuda") (gt (int .Values.resources.limits.gpu) 0) -}}
{{- $found = append $found (printf "settings.engine %s: it uses no GPU; leave it out, or set resources.limits.gpu to 0" $settings.engine) -}}
{{- end -}}
{{- if and (eq .Values.redis.mode "external") (not .Values.redis.url) -}}
{{- $found = append $found "redis.url: redis.mode external needs it, as in redis://redis.data.svc:6379/0" -}}
{{- end -}}
{{- if and (ne .Values.redis.mode "external") .Values.redis.url -}}
{{- $found = append $found (printf "redis.url: redis.mode is %s; set it to external" .Values.redis.mode) -}}
{{- end -}}
{{- if contains "@" .Values.redis.url -}}
{{- $found = append $found "redis.url: whoever may read the RayService would read the password in it; put it into a secret, and its name into redis.existingSecret" -}}
{{- end -}}
{{- if and (eq .Values.redis.mode "none") (or (gt (int .Values.replicaCount) 1) .Values.autoscaling.enabled (gt (int .Values.workers.count) 1)) -}}
{{- $found = append $found "redis.mode none: replicas share windows, halts and limits in a Redis; set internal or external, or replicaCount and workers.count to 1" -}}
{{- end -}}
{{- if .Values.gcsFaultTolerance.enabled -}}
{{- if eq .Values.redis.mode "none" -}}
{{- $found = append $found "gcsFaultTolerance.enabled: it needs a Redis; set redis.mode, or it to false" -}}
{{- else if and (eq .Values.redis.mode "external") (not .Values.gcsFaultTolerance.redisAddress) -}}
{{- $found = append $found "gcsFaultTolerance.redisAddress: name your Redis or Sentinel for Ray's head as host:port, or set gcsFaultTolerance.enabled to false" -}}
{{- end -}}
{{- end -}}
{{- $certificates := and .Values.edge.enabled .Values.edge.clientCaSecret (ne (default "required" .Values.edge.settings.client_certificates) "optional") -}}
{{- if not (or .Values.keys.existingSecret $certificates .Values.allowUnauthenticated) -}}
{{- $found = append $found "keys.existingSecret: everybody who reaches the service could call it; name a secret with keys, or edge.clientCaSecret, or set allowUnauthenticated to true" -}}
{{- end -}}
{{- if and .Values.edge.enabled (not .Values.edge.tlsSecret) -}}
{{- $found = append $found "edge.tlsSecret: the edge needs a certificate; name its secret, or set edge.enabled to false" -}}
{{- end -}}
{{- $bounds := include "tickserve.scaleBounds" . | fromJson -}}
{{- if gt (int $bounds.least) (int $bounds.most) -}}
{{- $found = append $found "autoscaling.minReplicas: must not exceed autoscaling.maxReplicas; set both" -}}
{{- end -}}
{{- if gt (int .Values.replicaCount) (int $bounds.most) -}}
{{- $found = append $found (printf "replicaCount: autoscaling allows %d at most; lower it or raise autoscaling.maxReplicas" (int $bounds.most)) -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}
