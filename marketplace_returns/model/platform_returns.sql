-- One row per return of a returns platform. Key: (shop, platform_return_id). Source: reported.returns.
-- status is canonical (mapping.statuses), the platform's own word stays in platform_status; an unmapped word stays null.
CREATE OR REPLACE VIEW model.platform_returns AS
SELECT
    p.*,
    s.canonical AS status
FROM reported.returns AS p
LEFT JOIN mapping.statuses AS s ON s.source_system = p.platform AND upper(s.source_code) = upper(p.platform_status);
