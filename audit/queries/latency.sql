-- How long requests and decisions took, by service, in microseconds.
--
-- Question: Is the gate fast, and is slowness its own or the upstream's?
-- Control: SOC 2 CC7.2 (monitor for anomalies)
-- Param service = "": Only this service; empty: any.
-- Note: upstream is the request's duration without its authorization, for requests that reached an upstream;
--     authz is Envoy's wait for the decision, decide the time inside the decision point. Empty: none such.
-- Example: gateledger audit latency --since 1h
WITH
    upstream_address != '' AS forwarded,
    log.duration_us - least(log.duration_us, log.authz_duration_us) AS upstream_us,
    quantilesExactIf(0.5, 0.95, 0.99)(upstream_us, forwarded) AS upstream,
    quantilesExactIf(0.5, 0.95, 0.99)(log.authz_duration_us, log.authz_duration_us > 0) AS authz,
    quantilesExactIf(0.5, 0.99)(log.decide_us, log.decide_us > 0) AS decide
SELECT
    service,
    count() AS requests,
    countIf(forwarded) AS upstream_requests,
    if(upstream_requests = 0, NULL, upstream[1]) AS upstream_p50_us,
    if(upstream_requests = 0, NULL, upstream[2]) AS upstream_p95_us,
    if(upstream_requests = 0, NULL, upstream[3]) AS upstream_p99_us,
    if(upstream_requests = 0, NULL, maxIf(upstream_us, forwarded)) AS upstream_max_us,
    countIf(log.authz_duration_us > 0) AS authz_requests,
    if(authz_requests = 0, NULL, authz[1]) AS authz_p50_us,
    if(authz_requests = 0, NULL, authz[2]) AS authz_p95_us,
    if(authz_requests = 0, NULL, authz[3]) AS authz_p99_us,
    if(authz_requests = 0, NULL, max(log.authz_duration_us)) AS authz_max_us,
    if(countIf(log.decide_us > 0) = 0, NULL, decide[1]) AS decide_p50_us,
    if(countIf(log.decide_us > 0) = 0, NULL, decide[2]) AS decide_p99_us
FROM audit.access_log AS log
WHERE _partition_value.1 >= toDate32({since:DateTime64(9, 'UTC')} - INTERVAL 1 DAY)
  AND time >= {since:DateTime64(9, 'UTC')}
  AND time < {until:DateTime64(9, 'UTC')}
  AND is_end
  AND ({service:String} = '' OR service = {service:String})
GROUP BY service
ORDER BY requests DESC, service
LIMIT {limit:UInt64}
