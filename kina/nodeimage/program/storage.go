package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
)

const (
	provisioner    = "kina.dev/local-path"
	provisionedBy  = "pv.kubernetes.io/provisioned-by"
	selectedNode   = "volume.kubernetes.io/selected-node"
	hostnameLabel  = "kubernetes.io/hostname"
	retryFirst     = 200 * time.Millisecond
	retryAtMost    = 30 * time.Second
	claimKind      = "claim"
	volumeKind     = "volume"
	directoryPerms = 0o777 // pods of any user write there; the parent directory is root's alone
)

// item is something to look at again.
type item struct {
	kind, namespace, name string
}

// runStorage serves the claims that the scheduler has placed on this node: a directory each, deleted with
// the volume. One runs on every node, so that nobody has to start helper pods there.
func runStorage(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("storage", flag.ExitOnError)
	node := flags.String("node", os.Getenv("NODE_NAME"), "this node's name")
	directory := flags.String("directory", "/var/local-path-provisioner", "where volumes are, on the node and here")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *node == "" {
		return errors.New("--node is needed")
	}
	clients, err := inCluster(ctx)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(*directory, 0o711); err != nil {
		return err
	}
	s := newStorage(clients, *node, *directory)
	return s.run(ctx)
}

type storage struct {
	clients   kubernetes.Interface
	node      string
	directory string
	factory   informers.SharedInformerFactory
	claims    cache.SharedIndexInformer
	volumes   cache.SharedIndexInformer
	classes   cache.SharedIndexInformer
	queue     workqueue.RateLimitingInterface
	events    record.EventRecorder
}

func newStorage(clients kubernetes.Interface, node, directory string) *storage {
	factory := informers.NewSharedInformerFactory(clients, 0)
	s := &storage{
		clients: clients, node: node, directory: directory, factory: factory,
		claims:  factory.Core().V1().PersistentVolumeClaims().Informer(),
		volumes: factory.Core().V1().PersistentVolumes().Informer(),
		classes: factory.Storage().V1().StorageClasses().Informer(),
		queue: workqueue.NewRateLimitingQueue(
			workqueue.NewItemExponentialFailureRateLimiter(retryFirst, retryAtMost)),
		events: newRecorder(clients, node),
	}
	add := func(object interface{}) {
		if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = gone.Obj
		}
		switch object := object.(type) {
		case *corev1.PersistentVolumeClaim:
			s.queue.Add(item{claimKind, object.Namespace, object.Name})
		case *corev1.PersistentVolume:
			s.queue.Add(item{kind: volumeKind, name: object.Name})
		}
	}
	handlers := cache.ResourceEventHandlerFuncs{
		AddFunc:    add,
		UpdateFunc: func(_, object interface{}) { add(object) },
	}
	s.claims.AddEventHandler(handlers)
	s.volumes.AddEventHandler(handlers)
	return s
}

func (s *storage) run(ctx context.Context) error {
	s.factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), s.claims.HasSynced, s.volumes.HasSynced, s.classes.HasSynced) {
		return ctx.Err()
	}
	klog.InfoS("Serving claims", "node", s.node, "directory", s.directory)
	go func() {
		<-ctx.Done()
		s.queue.ShutDown()
	}()
	for {
		next, over := s.queue.Get()
		if over {
			return nil
		}
		if work, ok := next.(item); ok {
			if err := s.handle(ctx, work); err != nil {
				klog.ErrorS(err, "Another try follows", work.kind, work.namespace+"/"+work.name)
				s.queue.AddRateLimited(next)
			} else {
				s.queue.Forget(next)
			}
		}
		s.queue.Done(next)
	}
}

func (s *storage) handle(ctx context.Context, work item) error {
	if work.kind == volumeKind {
		return s.release(ctx, work.name)
	}
	object, exists, err := s.claims.GetStore().GetByKey(work.namespace + "/" + work.name)
	if err != nil || !exists {
		return err
	}
	claim, ok := object.(*corev1.PersistentVolumeClaim)
	if !ok {
		return nil
	}
	return s.provision(ctx, claim)
}

// provision makes the volume of a claim that is this node's. Its name is the claim's UID: doing it twice
// finds what is there.
func (s *storage) provision(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	class := s.classOf(claim)
	if class == nil || claim.Spec.VolumeName != "" || claim.DeletionTimestamp != nil ||
		claim.Annotations[selectedNode] != s.node {
		return nil
	}
	for _, mode := range claim.Spec.AccessModes {
		if mode == corev1.ReadWriteMany || mode == corev1.ReadOnlyMany {
			s.events.Eventf(claim, corev1.EventTypeWarning, "ProvisioningFailed",
				"a node's directory can't be %s: ask for ReadWriteOnce", mode)
			return nil
		}
	}
	if claim.Spec.VolumeMode != nil && *claim.Spec.VolumeMode == corev1.PersistentVolumeBlock {
		s.events.Event(claim, corev1.EventTypeWarning, "ProvisioningFailed", "a directory is no block device")
		return nil
	}
	node, err := s.clients.CoreV1().Nodes().Get(ctx, s.node, metav1.GetOptions{})
	if err != nil {
		return err
	}
	volume := volumeFor(claim, class, node, s.directory)
	path := volume.Spec.HostPath.Path
	if err := os.MkdirAll(path, directoryPerms); err != nil {
		return err
	}
	if err := os.Chmod(path, directoryPerms); err != nil { // whatever the umask is
		return err
	}
	_, err = s.clients.CoreV1().PersistentVolumes().Create(ctx, volume, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	klog.InfoS("Provisioned", "claim", claim.Namespace+"/"+claim.Name, "path", path)
	return nil
}

func (s *storage) classOf(claim *corev1.PersistentVolumeClaim) *storagev1.StorageClass {
	if claim.Spec.StorageClassName == nil {
		return nil
	}
	object, exists, err := s.classes.GetStore().GetByKey(*claim.Spec.StorageClassName)
	if err != nil || !exists {
		return nil
	}
	if class, ok := object.(*storagev1.StorageClass); ok && class.Provisioner == provisioner {
		return class
	}
	return nil
}

func volumeFor(claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass, node *corev1.Node,
	directory string) *corev1.PersistentVolume {
	name := "pvc-" + string(claim.UID)
	hostname := node.Labels[hostnameLabel]
	if hostname == "" {
		hostname = node.Name
	}
	reclaim := corev1.PersistentVolumeReclaimDelete
	if class.ReclaimPolicy != nil {
		reclaim = *class.ReclaimPolicy
	}
	must := corev1.HostPathDirectory
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{provisionedBy: provisioner}},
		Spec: corev1.PersistentVolumeSpec{
			AccessModes:                   claim.Spec.AccessModes,
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: claim.Spec.Resources.Requests[corev1.ResourceStorage]},
			PersistentVolumeReclaimPolicy: reclaim,
			StorageClassName:              class.Name,
			MountOptions:                  class.MountOptions,
			ClaimRef: &corev1.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim", UID: claim.UID,
				Namespace: claim.Namespace, Name: claim.Name, ResourceVersion: claim.ResourceVersion,
			},
			PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{
				Path: filepath.Join(directory, name), Type: &must,
			}},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{
					Key: hostnameLabel, Operator: corev1.NodeSelectorOpIn, Values: []string{hostname},
				}}}},
			}},
		},
	}
}

// release deletes a volume of this node's whose claim is gone, its directory first.
func (s *storage) release(ctx context.Context, name string) error {
	object, exists, err := s.volumes.GetStore().GetByKey(name)
	if err != nil || !exists {
		return err
	}
	volume, ok := object.(*corev1.PersistentVolume)
	if !ok || volume.Annotations[provisionedBy] != provisioner || volume.Spec.HostPath == nil ||
		volume.Status.Phase != corev1.VolumeReleased ||
		volume.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete {
		return nil
	}
	node, err := s.clients.CoreV1().Nodes().Get(ctx, s.node, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if !onNode(volume, node) {
		return nil
	}
	// Only what we have made: the path could have been edited.
	path := filepath.Join(s.directory, volume.Name)
	if volume.Spec.HostPath.Path != path {
		return fmt.Errorf("%s is not where its volume should be", volume.Spec.HostPath.Path)
	}
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	err = s.clients.CoreV1().PersistentVolumes().Delete(ctx, name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	klog.InfoS("Deleted", "volume", name)
	return nil
}

func onNode(volume *corev1.PersistentVolume, node *corev1.Node) bool {
	if volume.Spec.NodeAffinity == nil || volume.Spec.NodeAffinity.Required == nil {
		return false
	}
	for _, term := range volume.Spec.NodeAffinity.Required.NodeSelectorTerms {
		for _, wanted := range term.MatchExpressions {
			if wanted.Key != hostnameLabel {
				continue
			}
			for _, value := range wanted.Values {
				if value == node.Labels[hostnameLabel] {
					return true
				}
			}
		}
	}
	return false
}
