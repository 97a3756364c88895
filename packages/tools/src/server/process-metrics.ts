/** Metrics of the process itself: CPU, memory, garbage collection, delay of the event loop. */
import { collectDefaultMetrics, type Registry } from 'prom-client'

/** The library wakes the process this often to measure its delay; its own default, 10 ms, was half of an idle server's CPU. */
const EVENT_LOOP_SAMPLE_MS = 1_000

export function collectProcessMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: EVENT_LOOP_SAMPLE_MS })
}
