{{- define "penstock.name" -}}
{{- default .Release.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "penstock.operator" -}}
{{ include "penstock.name" . }}-operator
{{- end -}}

{{- define "penstock.localAws" -}}
{{ include "penstock.name" . }}-local-aws
{{- end -}}

{{- define "penstock.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "penstock.operator" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name is needed where serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "penstock.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A Secret for pulling images: its name, or as Kubernetes lists it, {name: …}. */}}
{{- define "penstock.secretName" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ .name }}{{ end -}}
{{- end -}}

{{- define "penstock.endpoint" -}}
{{- if .Values.aws.endpointURL -}}
{{ .Values.aws.endpointURL }}
{{- else if .Values.localAws.enabled -}}
http://{{ include "penstock.localAws" . }}.{{ .Release.Namespace }}.svc:4566
{{- end -}}
{{- end -}}

{{/* What chooses pods: never changed, since a selector cannot be. */}}
{{- define "penstock.selector" -}}
app.kubernetes.io/name: penstock
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* The metadata of everything: name, labels, annotations. Takes root, name, component and further annotations and labels. */}}
{{- define "penstock.metadata" -}}
{{- $own := dict
  "app.kubernetes.io/name" "penstock"
  "app.kubernetes.io/instance" .root.Release.Name
  "app.kubernetes.io/component" .component
  "app.kubernetes.io/version" .root.Chart.AppVersion
  "app.kubernetes.io/managed-by" .root.Release.Service
  "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version) -}}
name: {{ .name }}
labels:
  {{- toYaml (mergeOverwrite (deepCopy .root.Values.commonLabels) (default dict .labels) $own) | nindent 2 }}
{{- with mergeOverwrite (deepCopy .root.Values.commonAnnotations) (default dict .annotations) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "penstock.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "penstock.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* What the operator needs in the namespaces that it watches; tests/manifests says which line of code needs what. */}}
{{- define "penstock.rules" -}}
- apiGroups: [penstock.dev]
  resources: [pipelines]
  verbs: [get, list, watch, patch]
- apiGroups: [penstock.dev]
  resources: [pipelines/status]
  verbs: [patch]
- apiGroups: [penstock.dev]
  resources: [pipelines/finalizers]
  verbs: [update]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [configmaps, services, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
{{- if .Values.page.enabled }}
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [list]
{{- end }}
{{- end -}}
