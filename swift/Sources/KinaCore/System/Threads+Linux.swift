#if os(Linux)
    extension Threads {
        /// pthread_create(3), whose types differ between systems.
        static func create(_ attributes: UnsafePointer<pthread_attr_t>, _ argument: UnsafeMutableRawPointer) -> Int32 {
            var thread = pthread_t()
            return pthread_create(
                &thread, attributes,
                { raw in
                    Threads.run(raw)
                    return nil
                }, argument)
        }
    }
#endif
