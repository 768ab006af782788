// kina-node is what a node of Debian's parts needs beside Kubernetes itself, in one program:
//
//	kina-node network   a service of the node: the pods' network, and routes to the other nodes'
//	kina-node dns       a Deployment: the cluster's names (Debian has no CoreDNS)
//	kina-node storage   a DaemonSet: directories of nodes as persistent volumes
//
// It is built beside Kubernetes, with the client libraries of its source.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
)

const (
	resync = 30 * time.Second
	// How often a starting API server is asked: a refused connection costs nothing.
	startPeriod = 200 * time.Millisecond
)

func main() {
	commands := map[string]func(context.Context, []string) error{
		"network": runNetwork,
		"dns":     runDNS,
		"storage": runStorage,
	}
	var run func(context.Context, []string) error
	if len(os.Args) > 1 {
		run = commands[os.Args[1]]
	}
	if run == nil {
		fmt.Fprintln(os.Stderr, "usage: kina-node network|dns|storage [flags]")
		os.Exit(2)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	if err := run(ctx, os.Args[2:]); err != nil && ctx.Err() == nil {
		klog.ErrorS(err, "Ended", "command", os.Args[1])
		os.Exit(1)
	}
}

// client makes a client that asks rarely and in Protobuf: an idle node should stay idle.
func client(config *rest.Config) (*kubernetes.Clientset, error) {
	config.UserAgent = "kina-node"
	config.ContentType = "application/vnd.kubernetes.protobuf"
	return kubernetes.NewForConfig(config)
}

// inCluster makes a client with a pod's credentials, as soon as the API can be reached: in a new cluster
// kube-proxy may not have been there yet, and informers would back off for seconds.
func inCluster(ctx context.Context) (*kubernetes.Clientset, error) {
	config, err := rest.InClusterConfig()
	if err != nil {
		return nil, err
	}
	hasty := rest.CopyConfig(config)
	hasty.Timeout = time.Second
	probe, err := client(hasty)
	if err != nil {
		return nil, err
	}
	if err := wait.PollImmediateUntil(startPeriod, func() (bool, error) {
		_, err := probe.Discovery().ServerVersion()
		return err == nil, nil
	}, ctx.Done()); err != nil {
		return nil, err
	}
	return client(config)
}
