// Command bench measures client-go, as a peer of disvc.runtime's benchmarks.
//
//	bench sync KUBECONFIG dynamic|metadata   time and memory of a shared informer's first synchronisation
//	bench queue                              add, get and done of a work queue, each a second
//
// It prints one JSON object. See ../sync.py and ../workqueue.py, which print the same of ours.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/workqueue"
)

var resource = schema.GroupVersionResource{Group: "serving.kserve.io", Version: "v1beta1", Resource: "inferenceservices"}

func main() {
	var result map[string]any
	var err error
	switch {
	case len(os.Args) == 4 && os.Args[1] == "sync":
		result, err = measureSync(os.Args[2], os.Args[3])
	case len(os.Args) == 2 && os.Args[1] == "queue":
		result = measureQueue()
	default:
		err = fmt.Errorf("usage: bench sync KUBECONFIG dynamic|metadata, or bench queue")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		os.Exit(1)
	}
}

// status returns a figure of /proc/self/status in bytes.
func status(field string) int64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for _, line := range strings.Split(string(text), "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok && name == field {
			kib, _ := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			return kib * 1024
		}
	}
	return 0
}

func informer(config *rest.Config, kind string) (informers.GenericInformer, func(<-chan struct{}), error) {
	switch kind {
	case "dynamic":
		client, err := dynamic.NewForConfig(config)
		if err != nil {
			return nil, nil, err
		}
		factory := dynamicinformer.NewDynamicSharedInformerFactory(client, 0)
		return factory.ForResource(resource), factory.Start, nil
	case "metadata":
		client, err := metadata.NewForConfig(config)
		if err != nil {
			return nil, nil, err
		}
		factory := metadatainformer.NewSharedInformerFactory(client, 0)
		return factory.ForResource(resource), factory.Start, nil
	}
	return nil, nil, fmt.Errorf("unknown informer %q: give dynamic or metadata", kind)
}

func measureSync(kubeconfig, kind string) (map[string]any, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	generic, start, err := informer(config, kind)
	if err != nil {
		return nil, err
	}
	shared := generic.Informer()
	handled := 0
	registration, err := shared.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: func(any) { handled++ }})
	if err != nil {
		return nil, err
	}
	before := status("VmRSS")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	started := time.Now()
	start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
		return nil, fmt.Errorf("not synchronised within 10 minutes")
	}
	seconds := time.Since(started).Seconds()
	debug.FreeOSMemory()
	result := map[string]any{
		"objects": len(shared.GetStore().ListKeys()),
		"seconds": seconds,
		"bytes":   status("VmRSS") - before,
		"peak":    status("VmHWM"),
	}
	runtime.KeepAlive(shared)
	return result, nil
}

func measureQueue() map[string]any {
	const keys = 300_000
	names := make([]string, keys)
	for i := range names {
		names[i] = fmt.Sprintf("ns%d/n%d", i%50, i)
	}
	queue := workqueue.NewTyped[string]()
	started := time.Now()
	for _, name := range names {
		queue.Add(name)
		key, _ := queue.Get()
		queue.Done(key)
	}
	one := keys / time.Since(started).Seconds()
	started = time.Now()
	for _, name := range names {
		queue.Add(name)
	}
	for range names {
		key, _ := queue.Get()
		queue.Done(key)
	}
	return map[string]any{"one at a time": one, "batch": keys / time.Since(started).Seconds()}
}
