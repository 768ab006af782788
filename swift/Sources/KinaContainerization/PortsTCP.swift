#if Containerization
    import NIOCore
    import NIOPosix

    /// Hands TCP connections on, in both directions at the reader's pace, and each direction's end by itself.
    enum TCPForwarder {
        static func listen(
            _ host: String, _ port: Int, _ target: SocketAddress, _ connections: Connections
        ) throws -> any Channel {
            try ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .serverChannelOption(.backlog, value: 256)
                .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                .childChannelOption(.allowRemoteHalfClosure, value: true)
                .childChannelOption(.autoRead, value: false)
                .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
                .childChannelInitializer { client in
                    connections.add(client)
                    return join(client, target)
                }
                .bind(host: host, port: port).wait()
        }

        /// Nothing is read from the client before the container has taken the connection; a container that refuses it
        /// ends the client's.
        private static func join(_ client: any Channel, _ target: SocketAddress) -> EventLoopFuture<Void> {
            ClientBootstrap(group: client.eventLoop)
                .connectTimeout(.seconds(10))
                .channelOption(.allowRemoteHalfClosure, value: true)
                .channelOption(.autoRead, value: false)
                .channelOption(.tcpOption(.tcp_nodelay), value: 1)
                .connect(to: target)
                .flatMapThrowing { inner in
                    let (near, far) = Splice.pair()
                    try client.pipeline.syncOperations.addHandler(near)
                    try inner.pipeline.syncOperations.addHandler(far)
                    client.closeFuture.whenComplete { _ in inner.close(promise: nil) }
                    inner.closeFuture.whenComplete { _ in client.close(promise: nil) }
                }
        }
    }

    /// One end of a connection that is handed on. Both ends are of one event loop.
    private final class Splice: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private var context: ChannelHandlerContext?
        private var other: Splice?
        private var waitsForOther = false

        static func pair() -> (Splice, Splice) {
            let (one, two) = (Splice(), Splice())
            one.other = two
            two.other = one
            return (one, two)
        }

        func handlerAdded(context: ChannelHandlerContext) {
            self.context = context
            if context.channel.isActive { read() }
        }

        func handlerRemoved(context: ChannelHandlerContext) {
            self.context = nil
            other = nil
        }

        func channelActive(context: ChannelHandlerContext) { read() }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            guard let next = other?.context else { return }
            next.write(wrapOutboundOut(unwrapInboundIn(data)), promise: nil)
        }

        func channelReadComplete(context: ChannelHandlerContext) {
            other?.context?.flush()
            read()
        }

        /// No more than the other end can send.
        private func read() {
            guard let context, let next = other?.context else { return }
            waitsForOther = !next.channel.isWritable
            if !waitsForOther { context.read() }
        }

        func channelWritabilityChanged(context: ChannelHandlerContext) {
            guard context.channel.isWritable, let other, other.waitsForOther else { return }
            other.read()
        }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            guard case .inputClosed = event as? ChannelEvent, let channel = other?.context?.channel else { return }
            // After all that is still to be sent.
            channel.writeAndFlush(ByteBuffer()).whenComplete { _ in channel.close(mode: .output, promise: nil) }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
#endif
