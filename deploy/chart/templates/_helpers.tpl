{{/* Names that are contracts: Kata's nodes, scripts and the Go adaptor's users know them. */}}
{{- define "peerpods.adaptor" -}}cloud-api-adaptor{{- end }}
{{- define "peerpods.shimProxy" -}}peerpods-shim-proxy{{- end }}
{{- define "peerpods.webhook" -}}peer-pods-webhook{{- end }}
{{- define "peerpods.controller" -}}peerpod-controller{{- end }}
{{- define "peerpods.cleanup" -}}peerpods-cleanup{{- end }}

{{/* What tells one component's pods from another's; never changes, as selectors cannot. */}}
{{- define "peerpods.selector" -}}
app: {{ . }}
{{- end }}

{{/* Labels of an object: (list context component). Not for pod templates: a new version of the chart alone must replace no pod. */}}
{{- define "peerpods.labels" -}}
{{- $root := index . 0 }}
{{- with index . 1 }}
{{- include "peerpods.selector" . }}
{{ end -}}
app.kubernetes.io/name: {{ index . 1 | default "peerpods" }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/part-of: peerpods
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end }}

{{/* Labels of a pod: (list context component labels-of-the-values uses-cloud). */}}
{{- define "peerpods.podLabels" -}}
{{- $root := index . 0 }}
{{- $own := include "peerpods.selector" (index . 1) | fromYaml }}
{{- $_ := set $own "app.kubernetes.io/part-of" "peerpods" }}
{{- if and (index . 3) $root.Values.workloadIdentity.azure.clientId }}
{{- $_ := set $own "azure.workload.identity/use" "true" }}
{{- end }}
{{- merge $own (index . 2) | toYaml }}
{{- end }}

{{- define "peerpods.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .name }}@{{ .digest }}{{ else }}{{ .name }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/* A ServiceAccount: (list context name annotations uses-cloud). */}}
{{- define "peerpods.serviceAccount" -}}
{{- $root := index . 0 }}
{{- $annotations := deepCopy (index . 2) }}
{{- if and (index . 3) $root.Values.workloadIdentity.azure.clientId }}
{{- $_ := set $annotations "azure.workload.identity/client-id" $root.Values.workloadIdentity.azure.clientId }}
{{- end }}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ index . 1 }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "peerpods.labels" (list $root (index . 1)) | nindent 4 }}
  {{- with $annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- end }}

{{/* A value as the text of a variable. Helm hands over numbers as floats, and prints large ones as 1e+06. */}}
{{- define "peerpods.text" -}}
{{- if kindIs "float64" . }}
{{- if eq (floor .) . }}{{ printf "%.0f" . }}{{ else }}{{ . }}{{ end }}
{{- else }}{{ . }}{{ end }}
{{- end }}

{{- define "peerpods.environment" -}}
{{- range $key, $value := . }}
- name: {{ $key }}
  value: {{ include "peerpods.text" $value | quote }}
{{- end }}
{{- end }}

{{/* Data of peer-pods-cm, as YAML. */}}
{{- define "peerpods.config" -}}
{{- $all := dict "CLOUD_PROVIDER" .Values.provider }}
{{- with .Values.tlsProfile.minVersion }}{{ $_ := set $all "TLS_MIN_VERSION" . }}{{ end }}
{{- with .Values.tlsProfile.cipherSuites }}{{ $_ := set $all "TLS_CIPHER_SUITES" . }}{{ end }}
{{- if ne .Values.runtimeClass.name "kata-remote" }}{{ $_ := set $all "RUNTIMECLASS_NAME" .Values.runtimeClass.name }}{{ end }}
{{- if ne .Values.hostPaths.run "/run/peerpod" }}
{{- $_ := set $all "REMOTE_HYPERVISOR_ENDPOINT" (printf "%s/hypervisor.sock" .Values.hostPaths.run) }}
{{- $_ := set $all "PODS_DIR" (printf "%s/pods" .Values.hostPaths.run) }}
{{- end }}
{{- if ne .Values.hostPaths.state "/var/lib/peerpods" }}{{ $_ := set $all "PEERPODS_STATE_DIR" .Values.hostPaths.state }}{{ end }}
{{- if and (eq (include "peerpods.tlsSecret" .) "certs-for-tls") (eq .Values.secrets.mode "create") }}
{{- $_ := set $all "CACERT_FILE" "/etc/certificates/ca.crt" }}
{{- $_ := set $all "CERT_FILE" "/etc/certificates/client.crt" }}
{{- $_ := set $all "CERT_KEY" "/etc/certificates/client.key" }}
{{- end }}
{{- range $key, $value := merge (deepCopy .Values.config) (get .Values.providerConfigs .Values.provider | default dict) }}
{{- if not (kindIs "invalid" $value) }}{{ $_ := set $all $key (include "peerpods.text" $value) }}{{ end }}
{{- end }}
{{- toYaml $all }}
{{- end }}

{{/* How the node's capacity is advertised: status, device-plugin or off. */}}
{{- define "peerpods.nodeResource" -}}
{{- get (include "peerpods.config" . | fromYaml) "PEERPODS_NODE_RESOURCE" | default "status" }}
{{- end }}

{{/* What the shim-proxy must know as the adaptor does, as YAML. */}}
{{- define "peerpods.sharedPaths" -}}
{{- pick (include "peerpods.config" . | fromYaml) "REMOTE_HYPERVISOR_ENDPOINT" "PEERPODS_RUN_DIR" "PEERPODS_PROXY_SOCKET" | toYaml }}
{{- end }}

{{/* Data of peer-pods-secret in mode create, as YAML: what is empty is left out. */}}
{{- define "peerpods.secretValues" -}}
{{- $all := dict }}
{{- range $key, $value := merge (deepCopy .Values.secrets.values) (get .Values.providerSecrets .Values.provider | default dict) }}
{{- if $value }}{{ $_ := set $all $key (include "peerpods.text" $value) }}{{ end }}
{{- end }}
{{- toYaml $all }}
{{- end }}

{{/* Names of the Secrets in use, "" where there is none. */}}
{{- define "peerpods.secret" -}}
{{- if eq .Values.secrets.mode "reference" }}{{ .Values.secrets.existingSecretName }}{{ else if include "peerpods.secretValues" . | fromYaml }}peer-pods-secret{{ end }}
{{- end }}
{{- define "peerpods.sshSecret" -}}
{{- if eq .Values.secrets.mode "reference" }}{{ .Values.secrets.existingSshKeySecretName }}{{ else if .Values.secrets.sshKeys }}ssh-key-secret{{ end }}
{{- end }}
{{- define "peerpods.tlsSecret" -}}
{{- if eq .Values.secrets.mode "reference" }}{{ .Values.secrets.existingTlsSecretName }}{{ else if .Values.secrets.tlsCerts.caCert }}certs-for-tls{{ end }}
{{- end }}

{{/* Credentials first: of a key in both the ConfigMap's value wins, as with the Go adaptor. */}}
{{- define "peerpods.envFrom" -}}
{{- with include "peerpods.secret" . }}
- secretRef:
    name: {{ . }}
{{- end }}
- configMapRef:
    name: peer-pods-cm
{{- end }}

{{/* What reaches a cloud needs beside envFrom: volumes and their mounts. */}}
{{- define "peerpods.cloudVolumes" -}}
{{- if eq .Values.provider "ibmcloud" }}
- name: vault-token
  projected:
    sources:
      - serviceAccountToken:
          path: vault-token
          audience: iam
          expirationSeconds: 3600
{{- end }}
{{- with include "peerpods.sshSecret" . }}
- name: ssh
  secret:
    secretName: {{ . }}
    defaultMode: 0400
{{- end }}
{{- end }}
{{- define "peerpods.cloudMounts" -}}
{{- if eq .Values.provider "ibmcloud" }}
- name: vault-token
  mountPath: /var/run/secrets/tokens
  readOnly: true
{{- end }}
{{- if include "peerpods.sshSecret" . }}
- name: ssh
  mountPath: /root/.ssh
  readOnly: true
{{- end }}
{{- end }}

{{/* Of controller and clean-up: those of the cloud, and the site's own. */}}
{{- define "peerpods.centralVolumes" -}}
{{- /* Not root there: the group reads the key, which OpenSSH refuses to root only. */}}
{{- include "peerpods.cloudVolumes" . | replace "defaultMode: 0400" "defaultMode: 0440" | trim }}
{{- if eq .Values.provider "kvm" }}
- name: tmp
  emptyDir: {}
{{- end }}
{{- with .Values.resourceCtrl.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "peerpods.centralMounts" -}}
{{- include "peerpods.cloudMounts" . | trim }}
{{- if eq .Values.provider "kvm" }}
- name: tmp
  mountPath: /tmp
{{- end }}
{{- with .Values.resourceCtrl.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Of a pod on the nodes themselves: (list context values-of-the-component). */}}
{{- define "peerpods.nodePod" -}}
{{- $root := index . 0 }}
{{- $own := index . 1 }}
hostNetwork: true
dnsPolicy: ClusterFirstWithHostNet
priorityClassName: {{ $own.priorityClassName }}
nodeSelector:
  {{- merge (dict "kubernetes.io/os" "linux") $own.nodeSelector $root.Values.nodeSelector | toYaml | nindent 2 }}
{{- with $root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
terminationGracePeriodSeconds: {{ int64 $own.terminationGracePeriodSeconds }}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Of a pod anywhere in the cluster: (list context values-of-the-component component). */}}
{{- define "peerpods.clusterPod" -}}
{{- $root := index . 0 }}
{{- $own := index . 1 }}
{{- with $own.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
nodeSelector:
  {{- merge (dict "kubernetes.io/os" "linux") $root.Values.nodeSelector | toYaml | nindent 2 }}
{{- with $own.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
affinity:
  {{- if $own.affinity }}
  {{- toYaml $own.affinity | nindent 2 }}
  {{- else }}
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "peerpods.selector" (index . 2) | nindent 14 }}
  {{- end }}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{ include "peerpods.unprivileged" $root }}
{{- end }}

{{/* Any user but root; on OpenShift the namespace's range decides which. */}}
{{- define "peerpods.unprivileged" -}}
securityContext:
  runAsNonRoot: true
  {{- if not .Values.openshift.enabled }}
  runAsUser: 65532
  runAsGroup: 65532
  {{- if eq .Values.provider "kvm" }}
  fsGroup: 65532
  {{- end }}
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{- define "peerpods.restricted" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/*
Whether to render an object that somebody else may own: (list context setting apiVersion kind name). "auto" leaves alone what exists
and is not this release's. Without a cluster (`helm template`) nothing exists.
*/}}
{{- define "peerpods.owned" -}}
{{- $root := index . 0 }}
{{- if eq (toString (index . 1)) "auto" }}
{{- $there := lookup (index . 2) (index . 3) "" (index . 4) }}
{{- $annotations := dig "metadata" "annotations" dict ($there | default dict) }}
{{- $ours := and (eq (get $annotations "meta.helm.sh/release-name") $root.Release.Name) (eq (get $annotations "meta.helm.sh/release-namespace") $root.Release.Namespace) }}
{{- if or (not $there) $ours }}true{{ end }}
{{- else if eq (toString (index . 1)) "true" }}true{{ end }}
{{- end }}

{{/* What webhook and controller may reach. */}}
{{- define "peerpods.egress" }}
  egress:
    - to:
        - namespaceSelector: {}
      ports:
        - protocol: UDP
          port: 53
        - protocol: TCP
          port: 53
        # OpenShift's.
        - protocol: UDP
          port: 5353
        - protocol: TCP
          port: 5353
    - ports:
        {{- range .Values.networkPolicy.egressPorts }}
        - protocol: TCP
          port: {{ . }}
        {{- end }}
{{- end }}

{{- define "peerpods.readsMetrics" }}
{{- if and .Values.metrics.port .Values.networkPolicy.metricsFrom }}
    - from:
        {{- toYaml .Values.networkPolicy.metricsFrom | nindent 8 }}
      ports:
        - protocol: TCP
          port: {{ .Values.metrics.port }}
{{- end }}
{{- end }}

{{/* The clean-up's rights come before its Job, and go with it. */}}
{{- define "peerpods.cleanupRights" -}}
annotations:
  helm.sh/hook: pre-delete
  helm.sh/hook-weight: "-10"
  helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
