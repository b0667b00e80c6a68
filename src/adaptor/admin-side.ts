import {
  type AdminRoute,
  type AdminServer,
  HEALTH_QUESTIONS,
  Health,
  History,
  json,
  serveAdmin,
} from "../admin/index.ts";
import { AdaptorMetrics, METRICS_CONTENT_TYPE } from "../observe/index.ts";
import type { Clock, LiveValue, Log, LogLevel } from "../platform/index.ts";
import { AdaptorState } from "./adaptor-state.ts";
import type { AdaptorConfig } from "./config.ts";
import { logLevelRoutes } from "./log-level-routes.ts";
import { NoticeHub } from "./notice-hub.ts";
import { type StatusSources, statusRoutes } from "./status-routes.ts";

/** What people, probes and scrapers have of one adaptor process, from its first moment to its last. */
export interface AdminSide {
  readonly state: AdaptorState;
  readonly server: AdminServer;
  /** What the socket serves; more may be added at any time. */
  readonly routes: AdminRoute[];
  /** Told of the lives of pods while this process owns the node. */
  readonly notices: NoticeHub;
  /** The settings are read: status and inspect can tell of them. */
  tellOf(sources: Pick<StatusSources, "settings" | "cluster">): void;
  readonly metrics: AdaptorMetrics;
}

export interface AdminSideDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly logLevel: LiveValue<LogLevel>;
  readonly programVersion: string;
}

/** Serves the admin socket. Throws `invalid-config` when it cannot be made. */
export async function openAdminSide(config: AdaptorConfig, deps: AdminSideDeps): Promise<AdminSide> {
  const state = new AdaptorState(config.paths.stateDir);
  const health = new Health(() => state.facts());
  const routes: AdminRoute[] = HEALTH_QUESTIONS.map((question) => ({
    method: "GET",
    path: `/${question}`,
    handle: () => {
      const answer = health.answer(question);
      return json(answer, answer.ok ? 200 : 503);
    },
  }));
  const metrics = new AdaptorMetrics({ ...deps, provider: config.provider });
  routes.push(metricsRoute(metrics), ...logLevelRoutes(deps.logLevel, deps.log));
  const notices = new NoticeHub(deps.log);
  notices.add(metrics.onNotice);
  const history = new History(deps.clock);
  notices.add(history.note);
  const server = await serveAdmin(config.paths.adminSocket, routes, deps);
  const startedMs = deps.clock.wallMs();
  const tellOf: AdminSide["tellOf"] = (sources) => {
    routes.push(...statusRoutes({ ...deps, ...sources, config, startedMs, state, health, history }));
  };
  return { state, server, routes, notices, metrics, tellOf };
}

const metricsRoute = (metrics: AdaptorMetrics): AdminRoute => ({
  method: "GET",
  path: "/metrics",
  handle: async () => ({ status: 200, text: await metrics.render(), contentType: METRICS_CONTENT_TYPE }),
});
