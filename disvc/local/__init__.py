"""A laptop without a cluster: ISVCs whose pods are model servers that run as processes.

    models = train(folder / "models")
    async with Host(folder / "pods", mirror={model.uri: model.folder for model in models}) as host:
        async with SimulatedKServe(transport, namespace, …, runner=ProcessRunner(host)):
            ...   # the pods of ISVCs with scikit-learn models answer REST and gRPC

`SimulatedKServe` is that of `disvc.testing.kserve`: it makes Deployments and Services of ISVCs and keeps pods; here its
kubelet runs them, so what it says of pods and models is so. Pods are published under pod-like addresses: `addresses`
says how to reach them. A `LogServer` beside the runner, whose port `SimulatedKServe` is given as `logs_port`, makes
`kubectl logs` work. The extra `local` has what this needs: pip install 'disvc[local]'.
"""
