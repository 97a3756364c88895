/**
 * `GET /health`, `/status` and `/metrics` of a server, on its own small HTTP port. Read-only; everything else is 404.
 */
import { createServer, type Server } from 'node:http'
import type { Registry } from 'prom-client'

export interface StatusServerOptions {
  readonly host: string
  readonly port: number
  readonly healthy: () => boolean
  readonly status: () => unknown
  readonly metrics: Registry
  readonly onError: (error: unknown) => void
}

export class StatusServer {
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
  }

  /** @throws Error that names host and port when they cannot be listened on. */
  static async start(options: StatusServerOptions): Promise<StatusServer> {
    const server = createServer((request, response) => {
      answer(options, request.method ?? '', request.url ?? '').then(
        ({ code, type, text }) => {
          response.writeHead(code, { 'content-type': type, 'cache-control': 'no-store' })
          response.end(text)
        },
        (error: unknown) => {
          options.onError(error)
          response.writeHead(500).end()
        },
      )
    })
    await new Promise<void>((resolve, reject) => {
      server.once('error', (cause) => {
        reject(
          new Error(`cannot listen on ${options.host}:${options.port} (metricsPromExporterPort): ${cause.message}`, {
            cause,
          }),
        )
      })
      server.listen(options.port, options.host, resolve)
    })
    server.on('error', options.onError)
    return new StatusServer(server)
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve())
    })
  }
}

interface Answer {
  readonly code: number
  readonly type: string
  readonly text: string
}

async function answer(options: StatusServerOptions, method: string, url: string): Promise<Answer> {
  if (method !== 'GET') return { code: 405, type: 'text/plain', text: 'only GET is allowed\n' }
  switch (url.split('?')[0]) {
    case '/health':
      return options.healthy()
        ? { code: 200, type: 'text/plain', text: 'ok\n' }
        : { code: 503, type: 'text/plain', text: 'not serving\n' }
    case '/status':
      return { code: 200, type: 'application/json', text: `${JSON.stringify(options.status())}\n` }
    case '/metrics':
      return { code: 200, type: options.metrics.contentType, text: await options.metrics.metrics() }
    default:
      return { code: 404, type: 'text/plain', text: 'known: /health /status /metrics\n' }
  }
}
