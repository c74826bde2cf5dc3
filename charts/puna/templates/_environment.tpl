{{/* The operator's settings, all of them and always: what runs does not depend on the image's own defaults. */}}
{{- define "puna.environment" -}}
- name: PUNA_WATCH_NAMESPACE
  value: {{ .Values.settings.watchNamespace | quote }}
- name: PUNA_NAMESPACE
  value: {{ .Release.Namespace | quote }}
- name: PUNA_FETCH_IMAGE
  value: {{ include "puna.image" (dict "image" .Values.image "root" $) | quote }}
- name: PUNA_ACCELERATORS
  value: {{ .Values.settings.accelerators | toJson | quote }}
- name: PUNA_ROUTER_IMAGE
  value: {{ include "puna.image" (dict "image" .Values.router.image "root" $) | quote }}
- name: PUNA_ROUTER_REPLICAS
  value: {{ int .Values.router.replicas | quote }}
- name: PUNA_ROUTER_BIND_ADDRESS
  {{- /* A `$(NAME)` is meant for the router's Pod: `$$` keeps the kubelet from filling it in here. */}}
  value: {{ .Values.router.bindAddress | replace "$(" "$$(" | quote }}
- name: PUNA_ROUTER_SERVICE_TYPE
  value: {{ .Values.router.serviceType | quote }}
- name: PUNA_ROUTER_DRAIN_SECONDS
  value: {{ int .Values.router.drainSeconds | quote }}
- name: PUNA_ROUTER_TLS_SECRET
  value: {{ .Values.router.tlsSecret | quote }}
- name: PUNA_ROUTER_RESOURCES
  value: {{ .Values.router.resources | toJson | quote }}
- name: PUNA_ROUTER_NODE_SELECTOR
  value: {{ .Values.router.nodeSelector | toJson | quote }}
- name: PUNA_ROUTER_TOLERATIONS
  value: {{ .Values.router.tolerations | toJson | quote }}
- name: PUNA_PUBLIC_URL
  value: {{ .Values.settings.publicUrl | quote }}
- name: PUNA_MODEL_FOLDERS
  value: {{ join ":" .Values.settings.modelFolders | quote }}
- name: PUNA_TRAINING_RENDEZVOUS
  value: {{ .Values.settings.trainingRendezvous | quote }}
- name: PUNA_MODEL_CACHE_HOST_PATH
  value: {{ .Values.settings.modelCacheHostPath | quote }}
- name: PUNA_ALLOWED_NETWORKS
  value: {{ join "," .Values.settings.allowedNetworks | quote }}
- name: PUNA_MODEL_MAX_BYTES
  value: {{ int64 .Values.settings.modelMaxBytes | quote }}
- name: PUNA_PROGRESS_DEADLINE_SECONDS
  value: {{ int .Values.settings.progressDeadlineSeconds | quote }}
- name: PUNA_TERMINATION_GRACE_SECONDS
  value: {{ int .Values.settings.terminationGraceSeconds | quote }}
- name: PUNA_PROMETHEUS_URL
  value: {{ .Values.settings.prometheus.url | quote }}
- name: PUNA_PROMETHEUS_TOKEN_FILE
  value: {{ empty .Values.settings.prometheus.tokenSecret | ternary "" "/etc/puna/prometheus/token" | quote }}
- name: PUNA_WORKERS
  value: {{ int .Values.settings.workers | quote }}
- name: PUNA_LISTEN
  value: 0.0.0.0:8081
{{- end -}}
